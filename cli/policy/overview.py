"""`zoco policy show`: every RPC as a line of a table, or as JSON."""

import json
from typing import Any

from rich.table import Table

from cli.policy.terminal import seconds, write
from mesh.policy import LimitKey, MethodPolicy, Policy

_KEYS = {LimitKey.GLOBAL: "all", LimitKey.IP: "IP", LimitKey.SUBJECT: "subject"}


def show(policy: Policy) -> None:
    """Print the table, a service after the other."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("RPC", no_wrap=True)
    table.add_column("from outside", no_wrap=True)
    table.add_column("callers inside", overflow="fold")
    table.add_column("owner", no_wrap=True)
    table.add_column("at most", no_wrap=True)
    table.add_column("deadline", no_wrap=True, justify="right")
    table.add_column("repeat", no_wrap=True)
    for workload in policy.workloads.values():
        for service in workload.services:
            heading = f"[bold]{service}[/bold]"
            table.add_row(heading if table.row_count == 0 else f"\n{heading}")
            for method in policy.of_workload(workload.name):
                if method.service == service:
                    table.add_row(*_cells(method))
    outside = sum(1 for method in policy.methods.values() if method.verifies_tokens)
    write(table, f"{len(policy.methods)} RPCs, {outside} of them open to the outside.")


def _cells(method: MethodPolicy) -> tuple[str, ...]:
    limits = ", ".join(
        f"{limit.requests}/{seconds(limit.per).removeprefix('1 ')} {_KEYS[limit.by]}" for limit in method.rate_limits
    )
    return (
        f"  {method.name}",
        method.audience.name if method.verifies_tokens else "-",
        ", ".join(sorted(method.callers)) or "-",
        method.owner_field or "-",
        limits or "-",
        seconds(method.deadline),
        _repeat(method) or "-",
    )


def _repeat(method: MethodPolicy) -> str:
    """How often it is tried at most, and why a repeat is harmless."""
    attempts = f"{method.retry.max_attempts}x" if method.retry else ""
    safe = (
        "keyed" if method.keyed else "reads" if method.side_effect_free else "idempotent" if method.idempotent else ""
    )
    return " ".join(each for each in (attempts, safe) if each)


def as_json(policy: Policy) -> str:
    """The same for programs: an object an RPC, by gRPC path."""
    return json.dumps({path: _object(method) for path, method in sorted(policy.methods.items())}, indent=2)


def _object(method: MethodPolicy) -> dict[str, Any]:
    return {
        "workload": method.workload,
        "edge": method.audience.name,
        "callers": sorted(method.callers),
        "ownerField": method.owner_field or None,
        "deadlineSeconds": method.deadline.total_seconds(),
        "rateLimits": [
            {
                "by": limit.by.name,
                "requests": limit.requests,
                "perSeconds": limit.per.total_seconds(),
                "tier": limit.tier,
            }
            for limit in method.rate_limits
        ],
        "retry": {"maxAttempts": method.retry.max_attempts, "codes": list(method.retry.codes)}
        if method.retry
        else None,
        "keyed": method.keyed,
        "idempotent": method.idempotent,
        "sideEffectFree": method.side_effect_free,
        "cacheSeconds": method.cache_ttl.total_seconds() if method.cache_ttl else None,
        "routes": [f"{route.verb} {route.path}" for route in method.routes],
        "calls": list(method.calls),
    }
