"""Ids are UUIDs of version 7 that sort by their time."""

import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest

from mesh.clock import utc_now
from mesh.ids import request_id, uuid7

MAKERS = (uuid7, request_id)

FORKS = """
import os, sys
from mesh import ids

for _ in range(2):
    if os.fork() == 0:
        print(getattr(ids, sys.argv[1])())
        break
    os.wait()
"""


def test_an_id_is_a_canonical_uuid_of_version_7() -> None:
    made = uuid7()
    parsed = uuid.UUID(made)
    assert (parsed.version, parsed.variant, made) == (7, uuid.RFC_4122, str(parsed))


def test_an_id_of_a_call_is_one_that_a_caller_could_have_sent() -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", request_id())


def test_an_id_holds_the_millisecond_it_was_made_in() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid.UUID(uuid7()).int >> 80
    assert before <= made <= time.time_ns() // 1_000_000


@pytest.mark.parametrize("make", MAKERS)
def test_ids_sort_in_the_order_they_were_made(make: Callable[[], str]) -> None:
    ids = [make() for _ in range(5000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 5000


@pytest.mark.parametrize("make", MAKERS)
def test_processes_forked_from_one_make_different_ids(make: Callable[[], str]) -> None:
    told = subprocess.run([sys.executable, "-c", FORKS, make.__name__], capture_output=True, text=True, check=True)

    noise = [made.replace("-", "")[-14:] for made in told.stdout.split()]
    assert len(set(noise)) == len(noise) == 2


def test_the_present_is_aware_and_in_utc() -> None:
    assert utc_now().utcoffset() == timedelta()
