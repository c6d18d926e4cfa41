"""Sends what webhooks are to be told, however often the process dies in between."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from mesh.clock import Clock
from mesh.crashpoints import crashpoint
from mesh.data import Database, Transaction
from mesh.data.wakes import Wakes
from mesh.errors import MeshError
from mesh.logs import logger
from services.notification.metrics import NotificationMetrics
from services.notification.webhooks import leases, signing
from services.notification.webhooks.app import WEBHOOK_WAKE
from services.notification.webhooks.domain import Patience
from services.notification.webhooks.leases import Taken
from services.notification.webhooks.sealing import CannotOpen, Safe
from services.notification.webhooks.sender import Attempt, Sender

AT_ONCE: Final = 50
"""How many requests a process has on their way."""
AT_ONCE_EACH: Final = 10
"""With so many on their way to one webhook no more are taken for it: a slow one leaves room for others."""
LOOK_SECONDS: Final = 2.0
"""How long a delivery may wait whose wake was lost, or whose pause is over."""
LEASE: Final = timedelta(minutes=1)
"""How long nobody else takes a delivery that is being sent: longer than an attempt may take."""
TIDY_SECONDS: Final = 15.0
"""How often what waits is counted, and what is old is deleted."""

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]

_log = logger("services.notification")


class Deliverer:
    """Takes deliveries that are due, sends them, and notes what became of them.

    A delivery is taken in one transaction, sent outside of any, and noted in another. If the process dies in between,
    it is sent again after its lease, with the same `webhook-id`: that is the only way of not losing it.

    Args:
        database: the deliveries.
        sender: makes the requests.
        safe: opens the secrets.
        clock: the time that signatures name.
        wakes: tells that there is something to send.
        metrics: counts attempts.
        spawn: starts an attempt that a stopping process waits for.
        patience: how long things are tried.
        lease: how long nobody else takes what is being sent.
    """

    def __init__(
        self,
        *,
        database: Database,
        sender: Sender,
        safe: Safe,
        clock: Clock,
        wakes: Wakes,
        metrics: NotificationMetrics,
        spawn: Spawn,
        patience: Patience | None = None,
        lease: timedelta = LEASE,
    ) -> None:
        self._database = database
        self._sender = sender
        self._safe = safe
        self._clock = clock
        self._wakes = wakes
        self._metrics = metrics
        self._spawn = spawn
        self._patience = patience or Patience()
        self._lease = lease
        self._on_their_way: Counter[str] = Counter()

    async def run(self) -> None:
        """Sends what is due for as long as the process lives."""
        with self._wakes.subscribe([WEBHOOK_WAKE]) as wake:
            while True:
                try:
                    more = await self._send_due(lambda _: wake.rouse())
                except MeshError as error:
                    _log.warning("the webhooks' deliveries cannot be reached", reason=str(error))
                    more = False
                if not more:
                    await wake.wait(LOOK_SECONDS)

    async def watch(self) -> None:
        """Counts what waits, and deletes what is too old to be looked at, for as long as the process lives."""
        while True:
            try:
                async with self._database.reading() as connection:
                    backlog = await leases.backlog(connection)
                self._metrics.webhook_waiting.set(backlog.waiting)
                self._metrics.webhook_due.set(backlog.due)
                await self._database.transact(leases.forget_old)
            except MeshError as error:
                _log.warning("the webhooks' deliveries cannot be counted", reason=str(error))
            await asyncio.sleep(TIDY_SECONDS)

    async def _send_due(self, done: Callable[[asyncio.Task[None]], None]) -> bool:
        """Begins to send what there is room for; whether there may be more of both."""
        room = AT_ONCE - self._on_their_way.total()
        if room <= 0 or self._wakes.is_closed:
            return False
        busy = [webhook_id for webhook_id, count in self._on_their_way.items() if count >= AT_ONCE_EACH]

        async def work(tx: Transaction) -> tuple[Sequence[Taken], Mapping[str, Sequence[bytes]]]:
            taken = await leases.take_due(
                tx,
                most=room,
                each=AT_ONCE_EACH,
                busy=busy,
                lease=self._lease,
                patience=self._patience.give_up_after,
            )
            if not taken:
                return taken, {}
            return taken, await leases.valid_secrets(tx, sorted({each.webhook_id for each in taken}))

        taken, sealed = await self._database.transact(work, named="webhook.take")
        for each in taken:
            self._on_their_way[each.webhook_id] += 1
            self._spawn(self._deliver(each, sealed.get(each.webhook_id, ()))).add_done_callback(done)
        return bool(taken)

    async def _deliver(self, taken: Taken, sealed: Sequence[bytes]) -> None:
        try:
            attempt = await self._attempt(taken, sealed)
            crashpoint("notification.webhook.after_sending")
            await self._note(taken, attempt)
        except MeshError as error:  # it is sent again after its lease
            _log.warning("a webhook's delivery could not be noted", delivery_id=taken.id, reason=str(error))
        finally:
            self._on_their_way[taken.webhook_id] -= 1
            self._on_their_way += Counter()  # forgets those of whom nothing is on its way

    async def _attempt(self, taken: Taken, sealed: Sequence[bytes]) -> Attempt:
        try:
            keys = [self._safe.open(each, webhook_id=taken.webhook_id) for each in sealed]
        except CannotOpen as error:
            _log.error("a webhook's secret cannot be opened", webhook_id=taken.webhook_id, reason=str(error))
            return Attempt(None, "there is no key to sign with")
        if not keys:
            return Attempt(None, "there is no key to sign with")
        body = taken.body.encode()
        headers = signing.headers(taken.event_id, body, time=self._clock(), keys=keys)
        return await self._sender.send(taken.url, headers, body)

    async def _note(self, taken: Taken, attempt: Attempt) -> None:
        if attempt.is_delivered:

            async def arrived(tx: Transaction) -> None:
                await leases.delivered(tx, taken, status=attempt.status)

            await self._database.transact(arrived, named="webhook.note")
            self._metrics.webhook_attempts.labels("delivered").inc()
            return
        pause = self._patience.retry(taken.failures + 1, random.random())  # noqa: S311 - jitter, no secret
        probe = self._patience.probe(taken.webhook_failures + 1, random.random())  # noqa: S311 - the same
        wish = attempt.wish or timedelta()

        async def in_vain(tx: Transaction) -> leases.Consequence:
            return await leases.failed(
                tx,
                taken,
                status=attempt.status,
                error=attempt.error,
                gone=attempt.is_gone,
                pause=max(pause, wish),
                probe=max(probe, wish),
                patience=self._patience.give_up_after,
            )

        consequence = await self._database.transact(in_vain, named="webhook.note")
        self._metrics.webhook_attempts.labels("given_up" if consequence.given_up else "retried").inc()
        _log.warning(
            "a webhook was not told",
            webhook_id=taken.webhook_id,
            delivery_id=taken.id,
            attempt=taken.attempts,
            status=attempt.status,
            reason=attempt.error,
            given_up=consequence.given_up,
        )
        if consequence.disabled is not None:
            self._metrics.webhooks_disabled.labels(consequence.disabled).inc()
            _log.error("a webhook was disabled", webhook_id=taken.webhook_id, reason=consequence.disabled)
