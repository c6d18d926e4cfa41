"""The names of what is on the broker: permissions and connections must mean the same streams, subjects, inboxes."""

import re
from collections.abc import Sequence
from typing import Final

API: Final = "$JS.API"
"""Where JetStream takes requests."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]+")


class BadSubject(ValueError):
    """A name that is not one fixed place on the broker: a wildcard, white space, an empty part."""


def stream_of(area: str) -> str:
    """The stream that holds the events of an area."""
    return f"zoco-{token(area)}"


def events_of(area: str) -> str:
    """The pattern of all subjects of an area's events."""
    return f"zoco.{token(area)}.v1.>"


def wakes_of(workload: str) -> str:
    """Where the processes of a workload wake each other."""
    return f"wake.{token(workload)}"


def inbox_of(workload: str) -> str:
    """The prefix of the subjects on which a workload gets answers. Nobody else may listen there."""
    return f"_INBOX.{token(workload)}"


def consumer_creation(area: str, consumer: str, events: Sequence[str]) -> str:
    """Where to ask for a consumer of some of an area's events.

    With one event the subject names it and the broker compares it with the request; with several it cannot, so whoever
    may read two events of an area could ask for all of that area.
    """
    subject = f"{API}.CONSUMER.CREATE.{stream_of(area)}.{token(consumer)}"
    return f"{subject}.{events[0]}" if len(events) == 1 else subject


def area_of(subject: str) -> str:
    """The area out of a subject `zoco.<area>.v1.<Event>`.

    Raises:
        BadSubject: The subject has another form.
    """
    match subject.split("."):
        case ["zoco", area, _, _]:
            return area
        case _:
            raise BadSubject(f"{subject} is not of the form zoco.<area>.<version>.<Event>")


def token(name: str) -> str:
    """A name that is to be one part of a subject.

    Raises:
        BadSubject: It holds a dot, a wildcard, white space or nothing.
    """
    if not _TOKEN.fullmatch(name):
        raise BadSubject(f"{name!r} cannot be a part of a subject")
    return name


def literal(subject: str) -> str:
    """A subject that means one place only.

    Raises:
        BadSubject: A part of it is a wildcard, empty or holds white space.
    """
    for part in subject.split("."):
        token(part)
    return subject
