"""Stripe for tests: the real stripe-mock, and in front of it a real HTTP server of ours that remembers.

stripe-mock holds each request against Stripe's own description of its API, and forgets it at once. `RememberingStripe`
passes every request on to it and, where stripe-mock takes it, answers what Stripe would: it keeps intents, refunds and
idempotency keys as Stripe documents them. It is ours, so it proves nothing of Stripe; it lets our side be driven
through declines, replays and lost answers.
"""

import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import h11
import httpx
import pytest

from tests.fixtures.servers import LOOPBACK, launch
from tests.ports import free_port

PROJECT = Path(__file__).parents[2]
API_KEY = "sk_test_123"

DECLINES: Mapping[str, str] = {
    # https://docs.stripe.com/testing#declined-payments
    "pm_card_visa_chargeDeclined": "generic_decline",
    "pm_card_visa_chargeDeclinedInsufficientFunds": "insufficient_funds",
    "pm_card_threeDSecure2Required": "authentication_required",
}
GOOD = frozenset({"pm_card_visa", "pm_card_mastercard"})

Answer = tuple[int, dict[str, Any]]


@contextlib.contextmanager
def running_stripe_mock(log: Path) -> Iterator[str]:
    """The real stripe-mock; gives its address. Skips the test where `make tools` has not built it."""
    program = shutil.which("stripe-mock", path=str(PROJECT / ".tools" / "bin")) or shutil.which("stripe-mock")
    if program is None:
        pytest.skip("stripe-mock is not here; `make tools` installs it")
    port = free_port()
    process = launch([program, "-http-addr", f"{LOOPBACK}:{port}", "-https-addr", f"{LOOPBACK}:0"], log)
    try:
        _wait_for(port, process, log)
        yield f"http://{LOOPBACK}:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), 1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"stripe-mock did not start:\n{log.read_text()[-2000:]}")
        time.sleep(0.02)


@dataclass
class RememberingStripe:
    """What Stripe would remember. Use `serving`."""

    mock: str
    intents: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunds: list[dict[str, Any]] = field(default_factory=list)
    keys: dict[str, tuple[str, Answer]] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    """What was asked, as `create`, `confirm`, ..."""
    lose: list[str] = field(default_factory=list)
    """Operations whose next answer is lost after their effect; each once."""
    refuse: dict[str, Answer] = field(default_factory=dict)
    """Operations that are answered so, without effect, until taken away."""
    index_lags: bool = False
    """Whether search does not know yet what was created."""
    url: str = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["RememberingStripe"]:
        """Listens on a free port."""
        async with httpx.AsyncClient(base_url=self.mock, timeout=20) as self._mock:
            server = await asyncio.start_server(self._serve, LOOPBACK, 0)
            self.url = "http://{}:{}".format(*server.sockets[0].getsockname()[:2])
            try:
                yield self
            finally:
                server.close()
                await server.wait_closed()

    def forget_keys(self) -> None:
        """A day passes: Stripe may forget what it answered under which key."""
        self.keys.clear()

    @property
    def statuses(self) -> list[str]:
        """Of all intents, in the order of their creation."""
        return [intent["status"] for intent in self.intents.values()]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError):
                await self._serve_one(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        request: h11.Request | None = None
        body = b""
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await reader.read(65536))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            else:
                break
        if request is None:
            return
        answer, replayed = await self._handle(request, body)
        if answer is None:
            return  # the connection ends without a word
        content = json.dumps(answer[1]).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(content))), ("connection", "close")]
        if replayed:
            headers.append(("idempotent-replayed", "true"))
        writer.write(connection.send(h11.Response(status_code=answer[0], headers=headers)) or b"")
        writer.write(connection.send(h11.Data(data=content)) or b"")
        await writer.drain()

    async def _handle(self, request: h11.Request, body: bytes) -> tuple[Answer | None, bool]:
        method, target = request.method.decode(), request.target.decode()
        headers = {name.decode(): value.decode() for name, value in request.headers}
        judging = ("authorization", "content-type", "stripe-version")
        passed: dict[str, str] = {name: headers[name] for name in judging if name in headers}
        judged = await self._mock.request(method, target, content=body, headers=passed)
        if judged.status_code >= 400:
            return (judged.status_code, judged.json()), False
        parts = urlsplit(target)
        form = {name: values[-1] for name, values in parse_qs(body.decode() or parts.query).items()}
        operation, subject = _operation(method, parts.path)
        self.seen.append(operation)
        if operation in self.refuse:
            return self.refuse[operation], False
        key, fingerprint = headers.get("idempotency-key", ""), f"{target} {body.decode()}"
        if method == "POST" and key in self.keys:
            first, answer = self.keys[key]
            if first != fingerprint:
                return _error(400, "idempotency_error", ""), False
            return answer, True
        answer = self._carry_out(operation, subject, form, judged.json())
        if method == "POST":
            assert key, "every request that changes something carries a key"
            self.keys[key] = (fingerprint, answer)
        if operation in self.lose:
            self.lose.remove(operation)
            return None, False
        return answer, False

    def _carry_out(self, operation: str, subject: str, form: Mapping[str, str], like: dict[str, Any]) -> Answer:
        match operation:
            case "create":
                return self._create(form, like)
            case "search":
                wanted = form["query"].split("'")[3]
                found = [each for each in self.intents.values() if each["metadata"].get("order_id") == wanted]
                return 200, {**like, "data": [] if self.index_lags else found, "has_more": False}
            case "refund":
                return self._refund(form, like)
            case "refunds":
                mine = [each for each in self.refunds if each["payment_intent"] == form["payment_intent"]]
                return 200, {**like, "data": mine, "has_more": False}
            case _ if subject in self.intents:
                return self._change(operation, self.intents[subject], form)
            case _:
                return _error(404, "invalid_request_error", "resource_missing", param="intent")

    def _change(self, operation: str, intent: dict[str, Any], form: Mapping[str, str]) -> Answer:
        match operation:
            case "confirm":
                return self._confirm(intent, form)
            case "capture":
                return self._capture(intent, int(form["amount_to_capture"]))
            case "cancel" if intent["status"] in ("succeeded", "canceled"):
                return _unexpected_state(intent)
            case "cancel":
                intent.update(status="canceled", amount_capturable=0, cancellation_reason=None)
                return 200, dict(intent)
            case _:
                return 200, self._shown(intent, form)

    def _create(self, form: Mapping[str, str], like: dict[str, Any]) -> Answer:
        intent = {
            **like,
            "id": f"pi_{len(self.intents) + 1}",
            "amount": int(form["amount"]),
            "currency": form["currency"],
            "metadata": _metadata(form),
            "status": "requires_payment_method",
            "amount_capturable": 0,
            "amount_received": 0,
            "last_payment_error": None,
            "latest_charge": None,
        }
        self.intents[intent["id"]] = intent
        return 200, dict(intent)

    def _confirm(self, intent: dict[str, Any], form: Mapping[str, str]) -> Answer:
        if intent["status"] != "requires_payment_method":
            return _unexpected_state(intent)
        card = form["payment_method"]
        if card in DECLINES:
            told = {"type": "card_error", "code": "card_declined", "decline_code": DECLINES[card]}
            intent["last_payment_error"] = told
            return 402, {"error": {**told, "message": "Your card was declined."}}
        if card not in GOOD:
            return _error(400, "invalid_request_error", "resource_missing", param="payment_method")
        intent.update(status="requires_capture", amount_capturable=intent["amount"], latest_charge="ch_1")
        return 200, dict(intent)

    def _capture(self, intent: dict[str, Any], amount: int) -> Answer:
        if intent["status"] != "requires_capture":
            return _unexpected_state(intent)
        intent.update(status="succeeded", amount_capturable=0, amount_received=amount)
        return 200, dict(intent)

    def _refund(self, form: Mapping[str, str], like: dict[str, Any]) -> Answer:
        intent, amount = self.intents[form["payment_intent"]], int(form["amount"])
        if amount > intent["amount_received"] - self._refunded(intent):
            return _error(400, "invalid_request_error", "charge_already_refunded")
        refund = {
            **like,
            "id": f"re_{len(self.refunds) + 1}",
            "payment_intent": intent["id"],
            "amount": amount,
            "metadata": _metadata(form),
            "status": "succeeded",
        }
        self.refunds.append(refund)
        return 200, refund

    def _shown(self, intent: dict[str, Any], form: Mapping[str, str]) -> dict[str, Any]:
        shown = dict(intent)
        if shown["latest_charge"] and any(name.startswith("expand") for name in form):
            shown["latest_charge"] = {"id": "ch_1", "object": "charge", "amount_refunded": self._refunded(intent)}
        return shown

    def _refunded(self, intent: Mapping[str, Any]) -> int:
        mine = (each for each in self.refunds if each["payment_intent"] == intent["id"])
        return sum(each["amount"] for each in mine if each["status"] not in ("failed", "canceled"))


def _operation(method: str, path: str) -> tuple[str, str]:
    match method, path.removeprefix("/v1/").split("/"):
        case "POST", ["payment_intents"]:
            return "create", ""
        case "GET", ["payment_intents", "search"]:
            return "search", ""
        case "GET", ["payment_intents", intent]:
            return "retrieve", intent
        case "POST", ["payment_intents", intent, action]:
            return action, intent
        case "POST", ["refunds"]:
            return "refund", ""
        case "GET", ["refunds"]:
            return "refunds", ""
        case unheard_of:
            raise AssertionError(f"nobody should ask Stripe for {unheard_of}")


def _metadata(form: Mapping[str, str]) -> dict[str, str]:
    return {name[len("metadata[") : -1]: value for name, value in form.items() if name.startswith("metadata[")}


def _error(status: int, kind: str, code: str, *, param: str = "") -> Answer:
    return status, {"error": {"type": kind, "code": code, "param": param, "message": f"made up: {code}"}}


def _unexpected_state(intent: Mapping[str, Any]) -> Answer:
    return _error(400, "invalid_request_error", "payment_intent_unexpected_state", param=intent["status"])
