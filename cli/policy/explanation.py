"""`zoco policy explain`: one decision in words, with the line of the contract that makes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cli.failures import Failure
from cli.local.settings import PROJECT
from cli.policy.contracts import Contracts, short
from mesh.compiler.sources import find_option
from mesh.decision import ADMIN, EDGE, Identity, TokenState, decide
from mesh.policy import Audience, MethodPolicy, Policy

_ME: Final = "0192f0c1-0000-7000-8000-000000000001"
_OTHER: Final = "0192f0c1-0000-7000-8000-000000000002"


@dataclass(frozen=True)
class Caller:
    """Somebody a person may ask about."""

    words: str
    identity: Identity
    owner: str | None = None
    """Whose resource they ask for, where that matters."""


PEOPLE: Final[Mapping[str, Caller]] = {
    "nobody": Caller("somebody outside without a token", Identity(EDGE)),
    "user": Caller("a customer, for what is their own", Identity(EDGE, TokenState.VALID, _ME, "CUSTOMER"), _ME),
    "other": Caller("a customer, for what is another's", Identity(EDGE, TokenState.VALID, _OTHER, "CUSTOMER"), _ME),
    "admin": Caller("an administrator", Identity(EDGE, TokenState.VALID, _OTHER, ADMIN), _ME),
    "expired": Caller("somebody outside with an expired token", Identity(EDGE, TokenState.EXPIRED)),
    "invalid": Caller("somebody outside with a token that does not hold", Identity(EDGE, TokenState.INVALID)),
    "stranger": Caller("a workload that no contract names", Identity("stranger")),
    "plain": Caller("somebody inside without a certificate of this mesh", Identity(None)),
}

_WHY: Final[Mapping[str, str]] = {
    "NOT_EXPOSED": "it is not open to the outside",
    "WORKLOAD_UNKNOWN": "the caller shows no certificate of this mesh",
    "CALLER_NOT_ALLOWED": "the workload is not among its callers",
    "TOKEN_MISSING": "it needs an access token, and there is none",
    "TOKEN_EXPIRED": "it needs an access token that has not expired",
    "TOKEN_INVALID": "it needs an access token that holds",
    "ROLE_REQUIRED": "it is for administrators",
    "RESOURCE_NOT_FOUND": "it belongs to somebody else, and looks as if it did not exist",
}
"""By the reason of the error."""


def explain(contracts: Contracts, method: MethodPolicy, name: str) -> str:
    """Say whether an identity may call an RPC, and why.

    Raises:
        Failure: there is no such identity.
    """
    caller = _caller(contracts.policy, name)
    decision = decide(method, caller.identity, owner=caller.owner if method.owner_field else None)
    verdict = "allowed" if decision.allowed else f"refused with {decision.code.name} {decision.reason}"
    why = "" if decision.allowed else f"\nbecause {_WHY[decision.reason]}"
    if decision.allowed and name == "other" and method.audience is Audience.USER:
        why = "\nas far as the contract knows: whose it is, the service finds out, and answers NOT_FOUND"
    if decision.allowed and caller.identity.workload in method.callers and method.needs_user:
        why = "\nwith a person's token it may what that person may: their role and whose it is count as from outside"
    option, _, _ = decision.line.partition(":")
    found = find_option(contracts.descriptors, method.path, option, PROJECT / "protos")
    where = f"protos/{found[0]}:{found[1]}" if found else "no line of a contract"
    return f"{short(method)} by {name} ({caller.words}): {verdict}{why}\n{where}: {decision.line}"


def _caller(policy: Policy, name: str) -> Caller:
    if name in PEOPLE:
        return PEOPLE[name]
    if name == EDGE:
        return PEOPLE["nobody"]
    workloads = [*policy.workloads, *sorted(policy.clients.keys() - {EDGE})]
    if name in workloads:
        return Caller(f"the workload {name}, on its own account", Identity(name))
    raise Failure(f"{name} is no identity; there are {', '.join(PEOPLE)}, and the workloads {', '.join(workloads)}.")
