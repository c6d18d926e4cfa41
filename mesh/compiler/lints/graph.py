"""Lints on the call graph: whom a contract says it calls, who may be called, how long and how deep that goes."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from mesh.compiler.lints.contract import Contract, Fault


def unknown_call(contract: Contract) -> Iterator[Fault]:
    """A declared call of what does not exist."""
    known = contract.policy.methods.keys() | contract.incomplete.keys()
    for subject, name in _declared(contract):
        if f"/{name}" not in known:
            yield Fault(
                subject,
                f'calls names "{name}", which no service has',
                "spell it package.v1.Service/Method, without a slash",
            )


def _declared(contract: Contract) -> Iterator[tuple[str, str]]:
    """Every declared call and who declares it."""
    for method in contract.methods():
        yield from ((method.path, name) for name in method.calls)
    for workload in contract.policy.workloads.values():
        yield from ((workload.services[0], name) for name in workload.calls)
    for client in contract.policy.clients.values():
        yield from ((client.name, name) for name in client.calls)


def call_not_allowed(contract: Contract) -> Iterator[Fault]:
    """A call that the callee does not let the caller make."""
    policy = contract.policy
    for caller in (*sorted(policy.workloads), *sorted(policy.clients)):
        for path in sorted(policy.calls_of(caller)):
            method = policy.methods.get(path)
            if method is not None and caller not in method.callers and caller != method.workload:
                why = " (to verify tokens)" if method.token_keys else ""
                yield Fault(
                    path, f"{caller} calls it{why} and is not among its callers", f'add "{caller}" to access.callers'
                )


def caller_never_calls(contract: Contract) -> Iterator[Fault]:
    """A caller that is let in and never comes."""
    policy = contract.policy
    known = policy.workloads.keys() | policy.clients.keys()
    for method in contract.methods():
        for caller in sorted(method.callers & known):
            if method.path not in policy.calls_of(caller):
                yield Fault(
                    method.path,
                    f'access.callers lets "{caller}" in, which declares no call of it',
                    f"drop it from the callers, or add the call to the calls of {caller}",
                )


def deadline_too_short(contract: Contract) -> Iterator[Fault]:
    """A caller that may give up before those it calls in sequence have used their time."""
    for method in contract.methods():
        callees = [
            contract.policy.methods[f"/{name}"] for name in method.calls if f"/{name}" in contract.policy.methods
        ]
        needed = sum((callee.deadline for callee in callees), timedelta())
        if needed > method.deadline:
            shown = " + ".join(f"{callee.name} {_seconds(callee.deadline)}" for callee in callees)
            yield Fault(
                method.path,
                f"its deadline is {_seconds(method.deadline)}, but what it calls may take {_seconds(needed)} ({shown})",
                "lengthen its deadline, or shorten theirs",
            )


def no_time(contract: Contract) -> Iterator[Fault]:
    """A deadline of no time at all."""
    for method in contract.methods():
        if method.deadline <= timedelta():
            yield Fault(method.path, f"its deadline is {_seconds(method.deadline)}", "give it some time")


def call_cycle(contract: Contract) -> Iterator[Fault]:
    """Workloads that call each other in a circle.

    It counts by workload, not by RPC: what a service calls on its own account may be set going by any of its RPCs, and
    a circle of processes that wait for each other comes to a stop under load, whichever RPCs it is made of.
    """
    edges = _edges(contract)
    for start in sorted(edges):
        cycle = _way_back(edges, start)
        if cycle and min(cycle) == start:
            first = min(edges[start][cycle[1]])
            shown = " -> ".join(
                name if at == 0 else f"{name} ({min(edges[cycle[at - 1]][name]).rpartition('/')[2]})"
                for at, name in enumerate(cycle)
            )
            yield Fault(first, f"a circle of calls: {shown}", "let one of them learn by an event what it asks for now")


def _edges(contract: Contract) -> Mapping[str, Mapping[str, set[str]]]:
    """By calling workload, by called one: the paths that are called. Fetching token keys waits for nobody's answer."""
    policy = contract.policy
    edges: dict[str, dict[str, set[str]]] = {}
    for caller in policy.workloads:
        for path in policy.calls_of(caller):
            method = policy.methods.get(path)
            if method is not None and not method.token_keys:
                edges.setdefault(caller, {}).setdefault(method.workload, set()).add(path)
    return edges


def _way_back(edges: Mapping[str, Mapping[str, set[str]]], start: str) -> Sequence[str]:
    """The shortest way from a workload to itself, ends included; empty where there is none."""
    ways: list[list[str]] = [[start]]
    seen: set[str] = set()
    for way in ways:
        for name in sorted(edges.get(way[-1], {})):
            if name == start:
                return [*way, start]
            if name not in seen:
                seen.add(name)
                ways.append([*way, name])
    return ()


def _seconds(duration: timedelta) -> str:
    return f"{duration.total_seconds():g} s"
