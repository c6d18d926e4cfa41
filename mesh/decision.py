"""Who may call what: the one place where a contract's access rules become a decision.

The pipeline asks it on every call, `zoco policy explain` for a person who wonders, and `make parity` for what every
layer must say. A layer that cannot know everything asks fewer rules: the sidecar knows workloads, the edge tokens, and
only the service sees the decoded message.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import Final

import grpc

from mesh.policy import Audience, MethodPolicy
from mesh.wire import canonical_id

EDGE: Final = "edge"
"""The workload through which everybody outside comes."""

ADMIN: Final = "ADMIN"
"""The role of those who run the shop."""

ME: Final = "me"
"""Stands for the subject's own id in an owner field."""


class TokenState(Enum):
    """What became of the access token that came with a call."""

    NONE = "none"
    VALID = "valid"
    EXPIRED = "expired"
    INVALID = "invalid"
    """Damaged, revoked, wrongly signed, for somebody else."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls: a workload by its certificate, and a person by an access token."""

    workload: str | None
    """By its SPIFFE id; `edge` for whoever comes from outside; None without a certificate of this mesh."""
    token: TokenState = TokenState.NONE
    subject: str = ""
    """User id, where the token holds."""
    role: str = ""
    """`CUSTOMER` or `ADMIN`, where the token holds."""


class Rule(Enum):
    """What is asked of a caller, in the order it is asked."""

    EXPOSURE = "exposure"
    """Is this open to the outside?"""
    CALLER = "caller"
    """Is this workload among the callers?"""
    TOKEN = "token"  # noqa: S105 - a rule's name, not a secret
    """Does the access token hold, where one is needed or shown?"""
    ROLE = "role"
    """Does the person's role reach?"""
    OWNER = "owner"
    """Does the resource belong to the person?"""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a caller may call, and what decides."""

    allowed: bool
    rule: Rule | None
    """The rule that refuses; None where the call is allowed."""
    code: grpc.StatusCode
    reason: str
    """Name of the zoco.mesh.v1.ErrorReason; empty where the call is allowed."""
    line: str
    """The words of the contract that decide, such as `access.callers: ["order"]`."""


class Decider:
    """The rules of one method, worked out once. Call it with an identity.

    Args:
        method: What the contract says.
        rules: What the layer that asks can know.
    """

    def __init__(self, method: MethodPolicy, rules: Collection[Rule] = tuple(Rule)) -> None:
        audience = f"access.edge: EDGE_AUDIENCE_{method.audience.name}"
        listed = ", ".join(f'"{caller}"' for caller in sorted(method.callers))
        callers = f"access.callers: [{listed}]"
        owner = f'access.owner_field: "{method.owner_field}"'
        denied, unauthenticated = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED
        self._callers = method.callers
        self._exposure = Rule.EXPOSURE in rules and method.audience is Audience.NONE
        self._caller = Rule.CALLER in rules
        # Internal methods know workloads only, and PUBLIC ones treat a bad token as none (docs/decisions/002).
        self._token = Rule.TOKEN in rules and method.needs_user
        self._role = Rule.ROLE in rules and method.audience is Audience.ADMIN
        self._owner = Rule.OWNER in rules and bool(method.owner_field)
        self._open = Decision(True, None, grpc.StatusCode.OK, "", audience)
        self._listed = Decision(True, None, grpc.StatusCode.OK, "", callers)
        self._not_exposed = Decision(False, Rule.EXPOSURE, denied, "NOT_EXPOSED", audience)
        self._unknown = Decision(False, Rule.CALLER, unauthenticated, "WORKLOAD_UNKNOWN", callers)
        self._not_listed = Decision(False, Rule.CALLER, denied, "CALLER_NOT_ALLOWED", callers)
        self._bad_token = {
            TokenState.NONE: Decision(False, Rule.TOKEN, unauthenticated, "TOKEN_MISSING", audience),
            TokenState.EXPIRED: Decision(False, Rule.TOKEN, unauthenticated, "TOKEN_EXPIRED", audience),
            TokenState.INVALID: Decision(False, Rule.TOKEN, unauthenticated, "TOKEN_INVALID", audience),
        }
        self._too_low = Decision(False, Rule.ROLE, denied, "ROLE_REQUIRED", audience)
        self._nobody = Decision(False, Rule.OWNER, unauthenticated, "TOKEN_MISSING", owner)
        self._not_yours = Decision(False, Rule.OWNER, grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND", owner)

    def __call__(self, identity: Identity, owner: str | None = None) -> Decision:
        """Decides; see `decide`."""
        workload, token = identity.workload, identity.token
        outside = workload == EDGE
        # A workload that passes a person's token on acts for them, and may no more than they may.
        person = outside or token is TokenState.VALID
        if outside:
            if self._exposure:
                return self._not_exposed
        elif self._caller and workload not in self._callers:
            return self._unknown if workload is None else self._not_listed
        if self._token and token is not TokenState.VALID and (outside or token is not TokenState.NONE):
            return self._bad_token[token]
        if person and identity.role != ADMIN:
            if self._role:
                return self._too_low
            if self._owner and owner is not None and owner != ME:
                if not identity.subject:
                    return self._nobody
                if canonical_id(owner) != identity.subject:
                    return self._not_yours
        return self._open if outside else self._listed


def decide(
    method: MethodPolicy,
    identity: Identity,
    *,
    owner: str | None = None,
    rules: Collection[Rule] = tuple(Rule),
) -> Decision:
    """Decides whether an identity may call: from outside by the audience, from inside by the list of callers.

    A workload that calls with a person's token acts for that person: their role must reach and the resource be theirs,
    too. Without a token it calls on its own account, for which the contract trusts it.

    Args:
        method: What the contract says.
        identity: Who calls.
        owner: What the request has in the field that `access.owner_field` names; None where that is not known.
        rules: What the layer that asks can know. The sidecar: EXPOSURE and CALLER; the edge: EXPOSURE, TOKEN and ROLE;
            the pipeline: all.
    """
    return Decider(method, rules)(identity, owner)
