"""Questions to the broker and their answers; "you may not" is one that the broker tells apart from the others."""

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from mesh.bus.port import BusUnavailable, StreamMissing
from mesh.bus.subjects import API

ANSWER_SECONDS: Final = 5.0
"""How long the broker may take to answer."""

NAME_IN_USE: Final = 10058
"""JetStream's error code for a stream that exists with another configuration."""

NO_STREAM: Final = 10059
"""JetStream's error code for a stream that does not exist."""

# nats-py hands the broker's words on in lower case.
_VIOLATION: Final = re.compile(r'permissions violation for (?P<operation>publish|subscription) to "(?P<subject>[^"]+)"')


@dataclass(frozen=True)
class Denial:
    """The broker does not let this workload use a subject."""

    operation: str
    """`publish` or `subscription`."""
    subject: str
    """As the broker's client tells it: in lower case."""

    def concerns(self, subject: str) -> bool:
        """Whether it is this subject that was meant."""
        return subject.lower() == self.subject


def denial_in(error: Exception) -> Denial | None:
    """The denial that an error of the connection tells of, if that is what it does."""
    found = _VIOLATION.search(str(error).lower())
    return Denial(found["operation"], found["subject"]) if found else None


class Denied(Exception):
    """The broker does not let this workload ask that."""


class Requests:
    """Asks the broker, and does not wait for an answer that a denial says will never come."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._asked: set[tuple[str, Callable[[], None]]] = set()

    def deny(self, denial: Denial) -> None:
        """Ends the questions that the broker has just denied."""
        for subject, end in list(self._asked):
            if denial.operation == "publish" and denial.concerns(subject):
                end()

    async def ask(self, subject: str, payload: bytes, headers: Mapping[str, str] | None = None) -> Msg:
        """The answer to a message.

        Raises:
            Denied: This workload may not use the subject.
            nats.errors.Error: Nobody answers, or the connection is lost.
        """
        refused = asyncio.get_running_loop().create_future()
        place = (subject, lambda: None if refused.done() else refused.set_result(None))
        self._asked.add(place)
        answer = asyncio.ensure_future(
            self._client.request(subject, payload, timeout=ANSWER_SECONDS, headers=dict(headers) if headers else None)
        )
        try:
            await asyncio.wait((answer, refused), return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                raise Denied(f"the broker denies {subject}")
            return answer.result()
        finally:
            answer.cancel()
            self._asked.discard(place)

    async def api(self, verb: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """JetStream's answer to a request such as `STREAM.CREATE.zoco-order`, which may be an error.

        Raises:
            BusUnavailable: There is no answer.
        """
        if not self._client.is_connected:
            raise BusUnavailable("not connected to the broker")
        try:
            answer = await self.ask(f"{API}.{verb}", json.dumps(body).encode())
        except Denied as denied:
            raise BusUnavailable(str(denied)) from denied
        except (nats.errors.Error, TimeoutError) as error:
            raise BusUnavailable(f"the broker does not answer: {error!r}") from error
        parsed: dict[str, Any] = json.loads(answer.data)
        return parsed


def require_success(answer: Mapping[str, Any]) -> None:
    """Lets a good answer of JetStream's pass.

    Raises:
        StreamMissing: There is no such stream.
        BusUnavailable: It is another error.
    """
    error = answer.get("error")
    if error is None:
        return
    if error.get("err_code") == NO_STREAM:
        raise StreamMissing("the broker has no such stream yet")
    raise BusUnavailable(f"the broker refuses: {error.get('description', error)}")


def nanoseconds(seconds: float) -> int:
    """A time span as JetStream's requests say it."""
    return round(seconds * 1_000_000_000)
