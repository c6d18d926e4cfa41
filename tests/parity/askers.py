"""Who asks: people with and without tokens, every workload of the contract, and one that nobody knows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mesh.decision import EDGE, Identity, TokenState
from mesh.ids import uuid7
from mesh.policy import Policy
from tests.harness import Tokens

STRANGER = "stranger"
INFRASTRUCTURE = ("portal", "operator", "cli", STRANGER)
"""Workloads without a contract of their own; the last has a certificate of the mesh and stands nowhere."""


@dataclass(frozen=True)
class Asker:
    """One identity of the matrix.

    Attributes:
        name: as the report shows it.
        certificate: the workload whose certificate it shows inside the mesh.
        token: its access token, if it has one.
        identity: the same, as the policy model knows it.
        owner: of the resource it asks for, where a request names one.
    """

    name: str
    certificate: str
    token: str | None
    identity: Identity
    owner: str

    @property
    def outside(self) -> bool:
        """Whether it comes through the edge."""
        return self.certificate == EDGE


def askers(policy: Policy, tokens: Tokens) -> Sequence[Asker]:
    """Give everybody of the matrix: nobody, a user, another user, an administrator, an expired token, workloads."""
    someone, user, other, admin = (uuid7() for _ in range(4))
    past = datetime.now(UTC) - timedelta(hours=1)
    dead = tokens.mint(user, iat=past, nbf=past, exp=past + timedelta(minutes=15))
    people = [
        _person("nobody", None, TokenState.NONE, owner=someone),
        _person("user", tokens.customer(user), TokenState.VALID, subject=user, role="CUSTOMER", owner=user),
        _person("other user", tokens.customer(other), TokenState.VALID, subject=other, role="CUSTOMER", owner=user),
        _person("admin", tokens.admin(admin), TokenState.VALID, subject=admin, role="ADMIN", owner=user),
        _person("expired token", dead, TokenState.EXPIRED, owner=user),
        _person("garbage", "not.a.token", TokenState.INVALID, owner=user),
    ]
    workloads = [Asker(name, name, None, Identity(name), someone) for name in (*policy.workloads, *INFRASTRUCTURE)]
    return [*people, *workloads]


def _person(name: str, token: str | None, state: TokenState, *, owner: str, subject: str = "", role: str = "") -> Asker:
    return Asker(name, EDGE, token, Identity(EDGE, state, subject, role), owner)
