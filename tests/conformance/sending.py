"""From a case's request to bytes: names are filled in, the token is added, and nothing else is."""

import re
import time
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, Final

from tests.conformance.case import Request
from tests.conformance.wire import Answer, Exchange

_NAME: Final = re.compile(r"\$(\w+)")
_MOST_WAITS: Final = 30


def send(address: tuple[str, int], request: Request, names: Mapping[str, str]) -> Answer:
    """Sends a request and reads all of its answer; comes again where a rate limit says so."""
    answer = open_exchange(address, request, names).answer()
    for _ in range(_MOST_WAITS):
        if answer.status != 429 or b"RATE_LIMITED" not in answer.raw:
            break
        time.sleep(float(answer.headers["retry-after"]))
        answer = open_exchange(address, request, names).answer()
    return answer


def open_exchange(address: tuple[str, int], request: Request, names: Mapping[str, str]) -> Exchange:
    """Sends a request; its answer is still to be read."""
    return Exchange(address, rendered(address, request, names), method=request.method)


def rendered(address: tuple[str, int], request: Request, names: Mapping[str, str]) -> bytes:
    """The bytes of a request. Characters that are none of ASCII stand for the byte of that number."""
    lines = [f"{request.method} {fill(request.target, names)} {request.version}"]
    if request.host:
        lines.append(f"host: {address[0]}:{address[1]}")
    lines += [f"{name}: {fill(value, names)}" for name, value in request.headers]
    if request.caller:
        lines.append(f"authorization: Bearer {names[f'token_{request.caller}']}")
    body: bytes = fill((request.body or b"").decode("latin-1"), names).encode("latin-1")
    if request.body is not None and request.length:
        lines.append(f"content-length: {len(body)}")
    lines.append("connection: close")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def fill(value: Any, names: Mapping[str, str]) -> Any:
    """A text, JSON or pattern with names in place of what stands for them; an unknown name stays as it is."""
    match value:
        case str():
            return _NAME.sub(lambda found: names.get(found[1], found[0]), value)
        case dict():
            return {key: fill(each, names) for key, each in value.items()}
        case list():
            return [fill(each, names) for each in value]
        case tuple():
            return tuple(fill(each, names) for each in value)
        case _ if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{each.name: fill(getattr(value, each.name), names) for each in fields(value)})
        case _:
            return value
