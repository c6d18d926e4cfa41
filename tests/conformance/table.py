"""The table: every case, by subject."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from tests.conformance.case import Case
from tests.conformance.subjects import (
    bodies,
    content,
    enums,
    errors,
    keys,
    lists,
    messages,
    methods,
    numbers,
    paths,
    protocol,
    queries,
    streams,
    texts,
    updates,
    verbs,
    well_known,
)

_SUBJECTS: Final[Mapping[str, Sequence[Case]]] = {
    "path templates": paths.CASES,
    "queries": queries.CASES,
    "numbers": numbers.CASES,
    "texts and bytes": texts.CASES,
    "enums": enums.CASES,
    "messages": messages.CASES,
    "well-known types": well_known.CASES,
    "bodies": bodies.CASES,
    "verbs": verbs.CASES,
    "content types and encodings": content.CASES,
    "the protocol itself": protocol.CASES,
    "standard methods": methods.CASES,
    "updates and etags": updates.CASES,
    "idempotency keys": keys.CASES,
    "lists": lists.CASES,
    "errors": errors.CASES,
    "streams": streams.CASES,
}

CASES: Final[Sequence[Case]] = [
    replace(each, subject=subject) for subject, cases in _SUBJECTS.items() for each in cases
]
