"""The access log: rendered directly it says what structlog says, hides what structlog hides, and is never overtaken."""

import asyncio
import io
import json
import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog

from mesh.call import Call, Subject, serving
from mesh.logs import JsonLog, Lines, configure_logs
from mesh.pipeline.access_log import access_log_stage
from mesh.pipeline.exchange import Exchange
from mesh.policy import load_policy
from mesh.settings import MeshSettings
from mesh.tracing import enter, server_spans

METHOD = load_policy().methods["/zoco.product.v1.ProductService/GetProduct"]
OPEN_SPAN = server_spans("a", {})
TRACEPARENT = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-00"}
CARD = "4242 4242 4242 4242"
TOKEN = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


Configure = Callable[..., JsonLog]


@pytest.fixture
def configured(pki: Path) -> Iterator[Configure]:
    """Sets logging up as a process does; afterwards it is as the tests have it."""
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def configure(level: str = "info") -> JsonLog:
        settings = {"ZOCO_PKI_DIR": pki / "product", "LOG_FORMAT": "json", "LOG_LEVEL": level}
        log = configure_logs(MeshSettings.model_validate(settings), "product")
        assert log is not None
        structlog.configure(cache_logger_on_first_use=False)  # else the next test would write here too
        return log

    yield configure
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


async def written(log: JsonLog | None, call: Call, **fields: Any) -> None:
    """Lets a call pass the stage; its line goes to the log."""
    metadata = fields.pop("metadata", {})
    exchange = Exchange(METHOD, None, None, metadata, call, **fields)
    exchange.span = OPEN_SPAN(TRACEPARENT)

    async def answer(_: Exchange) -> None:
        enter(exchange.span)

    with serving(call):
        enter(exchange.span)
        await access_log_stage(log)(METHOD, answer)(exchange)


CALLS = {
    "plain": ({}, {}),
    "of a person": (
        {"subject": Subject("0193f9aa-0000-7000-8000-000000000000", "ADMIN", TOKEN, 0), "caller": "edge"},
        {},
    ),
    "refused": ({"caller": "order"}, {"code": grpc.StatusCode.NOT_FOUND, "reason": "RESOURCE_NOT_FOUND"}),
    "failed": ({"caller": "order"}, {"code": grpc.StatusCode.INTERNAL, "reason": "INTERNAL_ERROR"}),
    "over REST": ({"caller": "edge"}, {"metadata": {"x-envoy-original-path": '/v1/products/"\\\n\u00e4?token=x'}}),
    "with secrets": ({"correlation_id": TOKEN}, {"metadata": {"x-envoy-original-path": f"/v1/{CARD}/{TOKEN}"}}),
}


@pytest.mark.parametrize(("of_call", "of_exchange"), CALLS.values(), ids=CALLS)
async def test_a_line_rendered_directly_says_what_structlog_would_say(
    capsys: pytest.CaptureFixture[str], configured: Configure, of_call: dict[str, Any], of_exchange: dict[str, Any]
) -> None:
    log = configured()
    call = Call(**{"method": METHOD, "request_id": "r-1", "correlation_id": "c-1", **of_call})

    await asyncio.create_task(written(None, call, **of_exchange))
    await asyncio.create_task(written(log, call, **of_exchange))
    log.lines.flush()

    text = capsys.readouterr().err
    structured, rendered = map(json.loads, text.splitlines())
    assert abs(structured.pop("duration_ms") - rendered.pop("duration_ms")) < 1000
    earlier, later = (datetime.fromisoformat(line.pop("time")) for line in (structured, rendered))
    assert timedelta(0) <= later - earlier < timedelta(minutes=1)
    assert rendered == structured
    assert rendered["trace_id"] == "ab" * 16
    assert TOKEN not in text
    assert CARD not in text


async def test_a_line_of_a_call_waits_for_others_but_is_never_overtaken(
    capsys: pytest.CaptureFixture[str], configured: Configure
) -> None:
    log = configured()
    call = Call(METHOD, "r-1", "c-1")

    await asyncio.create_task(written(log, call))
    before = capsys.readouterr().err
    structlog.get_logger().warning("later")

    assert before == ""
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["call", "later"]


async def test_a_line_of_a_call_is_written_soon_though_nothing_follows(
    capsys: pytest.CaptureFixture[str], configured: Configure
) -> None:
    log = configured()

    await asyncio.create_task(written(log, Call(METHOD, "r-1", "c-1")))

    async with asyncio.timeout(10):
        while not capsys.readouterr().err:  # noqa: ASYNC110 - nothing tells when a stream is written to
            await asyncio.sleep(0.01)


async def test_a_failed_call_is_written_at_once(capsys: pytest.CaptureFixture[str], configured: Configure) -> None:
    await asyncio.create_task(written(configured(), Call(METHOD, "r-1", "c-1"), code=grpc.StatusCode.INTERNAL))

    assert json.loads(capsys.readouterr().err)["level"] == "error"


async def test_a_level_above_info_leaves_only_failed_calls(
    capsys: pytest.CaptureFixture[str], configured: Configure
) -> None:
    log = configured("warning")

    await asyncio.create_task(written(log, Call(METHOD, "r-1", "c-1")))
    await asyncio.create_task(written(log, Call(METHOD, "r-2", "c-2"), code=grpc.StatusCode.UNAVAILABLE))
    log.lines.flush()

    assert [json.loads(line)["request_id"] for line in capsys.readouterr().err.splitlines()] == ["r-2"]


def test_lines_come_out_whole_and_in_order() -> None:
    async def write_some() -> None:
        lines.later("1\n")
        lines.later("2\n")
        lines.write("3\n")

    stream = io.StringIO()
    lines = Lines(stream)
    asyncio.run(write_some())

    assert stream.getvalue() == "1\n2\n3\n"


async def test_lines_that_come_after_the_stream_has_closed_hurt_nobody() -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    lines.later("waits\n")
    stream.close()
    lines.write("late\n")
    lines.flush()
