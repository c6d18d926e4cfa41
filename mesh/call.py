"""The current call: who calls what, as whom, under which key. One object a call, found by `current_call()`."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, Token, copy_context
from dataclasses import dataclass
from datetime import timedelta

from mesh.errors import Unauthenticated
from mesh.policy import MethodPolicy


@dataclass(frozen=True)
class Subject:
    """The person on whose behalf a call is made, out of a verified access token."""

    id: str
    """User id."""
    role: str
    """`CUSTOMER` or `ADMIN`."""
    token: str
    """The access token as it came, forwarded unchanged; never logged."""
    issued_at: float
    """When it was issued, in seconds since 1970: a revocation refuses what is older."""

    @property
    def is_admin(self) -> bool:
        """Whether the person runs the shop."""
        return self.role == "ADMIN"

    def __repr__(self) -> str:
        return f"Subject(id={self.id!r}, role={self.role!r})"


@dataclass(frozen=True)
class IdempotencyKey:
    """Under which key a repeat of this call finds its first answer."""

    principal: str
    """Who used the key: `user:<id>`, or `workload:<name>` where no person is behind the call."""
    method: str
    """gRPC path."""
    key: str
    """What the caller chose."""
    request_hash: bytes
    """SHA-256 of the request without its key."""
    lease: timedelta
    """How long a claim without an answer counts as running."""
    resource_id: str | None = None
    """Set when an earlier call died between claim and answer: continue with this resource instead of making one."""


@dataclass(slots=True)
class Call:
    """One call as the pipeline establishes it: its stages fill it in, and nobody changes it once the handler runs.

    It is not frozen because it is made on every call, and a copy for each stage that learns something costs more than
    the stage (docs/decisions/021).
    """

    method: MethodPolicy | None
    """None while a consumer handles an event."""
    request_id: str
    correlation_id: str
    caller: str | None = None
    """The workload at the other end, by its certificate; `edge` for external clients."""
    subject: Subject | None = None
    key: IdempotencyKey | None = None
    deadline: float | None = None
    """When the caller stops waiting, in the event loop's time."""

    @property
    def user_id(self) -> str:
        """The subject's id.

        Raises:
            Unauthenticated: Nobody is logged in.
        """
        if self.subject is None:
            raise Unauthenticated("TOKEN_MISSING", "this call needs an access token")
        return self.subject.id

    @property
    def is_admin(self) -> bool:
        """Whether an administrator calls."""
        return self.subject is not None and self.subject.is_admin

    @property
    def principal(self) -> str:
        """Who answers for the call: the person where there is one, else the workload."""
        return f"user:{self.subject.id}" if self.subject else f"workload:{self.caller or 'unknown'}"

    def resolve_me(self, user_id: str) -> str:
        """The id itself, or the subject's where it says `me`."""
        return self.user_id if user_id == "me" else user_id


_current: ContextVar[Call | None] = ContextVar("mesh_call", default=None)


def find_call() -> Call | None:
    """The call this code runs in, or None outside of one."""
    return _current.get()


def current_call() -> Call:
    """The call this code runs in.

    Raises:
        LookupError: The code runs outside of a call.
    """
    call = _current.get()
    if call is None:
        raise LookupError("no call is being served here")
    return call


@contextmanager
def serving(call: Call) -> Iterator[Call]:
    """Makes a call the current one for the code inside."""
    token: Token[Call | None] = _current.set(call)
    try:
        yield call
    finally:
        _current.reset(token)


def enter(call: Call) -> None:
    """Makes a call the current one for the rest of this task. For tasks that serve exactly one call."""
    _current.set(call)


def detached_context(call: Call | None) -> Context:
    """A copy of the present context for work that outlives the call.

    Correlation and trace go on; the person's identity and key do not: what runs in the background acts as the workload.
    """
    context = copy_context()
    detached = None if call is None else Call(None, call.request_id, call.correlation_id)
    context.run(_current.set, detached)
    return context
