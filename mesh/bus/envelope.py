"""An event on the wire: CloudEvents headers around a protobuf payload."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from mesh.bus.port import Publication

SPEC_VERSION: Final = "1.0"
CONTENT_TYPE: Final = "application/protobuf"
TRACEPARENT: Final = "traceparent"


class Unreadable(Exception):
    """A message that is no event of ours; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the headers of an event say.

    https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/nats-protocol-binding.md, with the extensions
    `sequence` and `correlationid`.
    """

    event_id: str
    type: str
    source: str
    aggregate_id: str
    version: int
    time: datetime
    correlation_id: str
    traceparent: str = ""

    def publication(self, payload: bytes) -> Publication:
        """The message that carries the event."""
        headers = {
            "ce-specversion": SPEC_VERSION,
            "ce-id": self.event_id,
            "ce-type": self.type,
            "ce-source": self.source,
            "ce-subject": self.aggregate_id,
            "ce-time": self.time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "ce-sequence": str(self.version),
            "ce-correlationid": self.correlation_id,
            "content-type": CONTENT_TYPE,
        }
        if self.traceparent:
            headers[TRACEPARENT] = self.traceparent
        return Publication(self.event_id, self.type, payload, headers)

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> "Envelope":
        """Reads the headers of a message.

        Raises:
            Unreadable: One is missing or malformed.
        """
        try:
            return cls(
                event_id=str(UUID(headers["ce-id"])),
                type=headers["ce-type"],
                source=headers["ce-source"],
                aggregate_id=headers["ce-subject"],
                version=int(headers["ce-sequence"]),
                time=_moment(headers["ce-time"]),
                correlation_id=headers.get("ce-correlationid", headers["ce-id"]),
                traceparent=headers.get(TRACEPARENT, ""),
            )
        except KeyError as error:
            raise Unreadable(f"the header {error.args[0]} is missing") from error
        except ValueError as error:
            raise Unreadable(f"a header is malformed: {error}") from error


def _moment(value: str) -> datetime:
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone")
    return moment
