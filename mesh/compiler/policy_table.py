"""Emits the policy as Python, so that a process need not read and parse the descriptor set to know it."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from enum import Enum
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from mesh.compiler import Files
from mesh.policy import MethodPolicy, Policy, Workload, read_policy

PATH: Final = "zoco/mesh/policy_table.py"
"""Where it goes under `generated/`: `mesh.policy.load_policy` imports it."""

_HEADER: Final = '''"""The policy of every contract. Generated from protos/ by `make gen`. Do not edit."""

from datetime import timedelta

from mesh.policy import Audience, HttpRoute, LimitKey, MethodPolicy, Policy, RateLimit, Retry, Slo, Workload


def policy() -> Policy:
    """The policy, equal to what `mesh.policy.read_policy` makes of the descriptor set."""
'''


def emit(descriptors: FileDescriptorSet) -> Files:
    """Emits the table; one of the compiler's emitters."""
    return {PATH: render(read_policy(descriptors)).encode()}


def render(policy: Policy) -> str:
    """The module as text."""
    lines = [
        *_mapping("methods", dict(sorted(policy.methods.items())), MethodPolicy),
        *_mapping("workloads", policy.workloads, Workload),
        *_mapping("clients", policy.clients, Workload),
    ]
    keys = f"methods[{_literal(policy.token_keys.path)}]" if policy.token_keys else "None"
    lines.append(f"    return Policy(methods, workloads, {keys}, clients)")
    return _HEADER + "\n".join(lines) + "\n"


def _mapping(name: str, values: Mapping[str, Any], of: type) -> Iterator[str]:
    yield f"    {name} = {{"
    for key, value in values.items():
        yield f"        {_literal(key)}: {of.__name__}("
        yield from (f"            {field}={text}," for field, text in _fields(value))
        yield "        ),"
    yield "    }"


def _fields(value: Any) -> Iterator[tuple[str, str]]:
    """The fields of a dataclass that differ from their defaults, as source text."""
    for field in dataclasses.fields(value):
        given = getattr(value, field.name)
        if field.default is dataclasses.MISSING or given != field.default:
            yield field.name, _literal(given)


def _literal(value: object) -> str:
    match value:
        case Enum():
            return f"{type(value).__name__}.{value.name}"
        case str():
            return json.dumps(value)
        case timedelta():
            return _duration(value)
        case frozenset():
            return f"frozenset({{{', '.join(map(_literal, sorted(value)))}}})" if value else "frozenset()"
        case tuple():
            return f"({', '.join(map(_literal, value))}{',' if len(value) == 1 else ''})"
        case _ if dataclasses.is_dataclass(value):
            return f"{type(value).__name__}({', '.join(f'{field}={text}' for field, text in _fields(value))})"
        case _:
            return repr(value)


def _duration(value: timedelta) -> str:
    microseconds = value // timedelta(microseconds=1)
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"timedelta(microseconds={microseconds})" if rest else f"timedelta(seconds={seconds})"
