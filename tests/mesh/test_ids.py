"""Ids are UUIDs of version 7 that sort by their time."""

import time
import uuid
from datetime import timedelta

from mesh.clock import utc_now
from mesh.ids import uuid7


def test_an_id_is_a_canonical_uuid_of_version_7() -> None:
    parsed = uuid.UUID(uuid7())
    assert (parsed.version, parsed.variant, str(parsed)) == (7, uuid.RFC_4122, str(parsed).lower())


def test_an_id_holds_the_millisecond_it_was_made_in() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid.UUID(uuid7()).int >> 80
    assert before <= made <= time.time_ns() // 1_000_000


def test_ids_sort_in_the_order_they_were_made() -> None:
    ids = [uuid7() for _ in range(5000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 5000


def test_the_present_is_aware_and_in_utc() -> None:
    assert utc_now().utcoffset() == timedelta()
