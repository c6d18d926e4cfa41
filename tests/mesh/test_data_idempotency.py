"""The same key has one effect and one answer, however many ask at once and whoever dies in between."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from mesh.call import IdempotencyKey
from mesh.data import Database, KeyTaken, Transaction
from mesh.data.idempotency import Running, StoredAnswer, lookup
from mesh.errors import FailedPrecondition, InvalidArgument, Unavailable
from tests.fixtures.servers import Postgres
from tests.mesh.ledger import a_call, add, balance, key, opened, prepare
from zoco.order.v1.order_pb2 import Order

ANSWER = Order(id="order-1", version=3)


@pytest.fixture
async def database(postgres: Postgres) -> AsyncIterator[Database]:
    async with opened(await postgres.prepared("ledger", prepare)) as database:
        yield database


async def place(tx: Transaction) -> Order:
    await add(tx, "a")
    return ANSWER


async def known(database: Database, asked: IdempotencyKey) -> StoredAnswer | Running | None:
    return await lookup(database, asked)


async def test_the_answer_of_keyed_work_is_found_under_its_key(database: Database) -> None:
    with a_call(key()):
        assert await known(database, key()) is None
        assert await database.transact(place, keyed=True) == ANSWER
    assert await known(database, key()) == StoredAnswer(0, ANSWER.SerializeToString(deterministic=True))


async def test_twenty_at_once_have_one_effect_and_find_one_answer(database: Database) -> None:
    async def attempt() -> bytes:
        with a_call(key()):
            try:
                return (await database.transact(place, keyed=True)).SerializeToString(deterministic=True)
            except KeyTaken:
                answer = await known(database, key())
                assert isinstance(answer, StoredAnswer)
                return answer.response

    answers = await asyncio.gather(*(attempt() for _ in range(20)))
    assert len(set(answers)) == 1
    assert await balance(database, "a") == 1


async def test_work_that_fails_leaves_its_key_free(database: Database) -> None:
    async def fail(tx: Transaction) -> Order:
        await add(tx, "a")
        raise FailedPrecondition("STATE_CONFLICT", "not now")

    with a_call(key()):
        with pytest.raises(FailedPrecondition):
            await database.transact(fail, keyed=True)
        assert await database.transact(place, keyed=True) == ANSWER
    assert await balance(database, "a") == 1


async def test_another_request_under_the_key_is_refused(database: Database) -> None:
    with a_call(key()):
        await database.transact(place, keyed=True)
    with pytest.raises(InvalidArgument) as raised:
        await known(database, key(request=b"another"))
    assert raised.value.reason == "IDEMPOTENCY_KEY_REUSED"


async def test_keys_of_two_principals_and_of_two_methods_do_not_meet(database: Database) -> None:
    for asked in (key(), key(principal="user:2"), key(method="/another")):
        with a_call(asked):
            await database.transact(place, keyed=True)
    assert await balance(database, "a") == 3


async def test_a_call_without_a_key_claims_nothing(database: Database) -> None:
    with a_call(None):
        await database.transact(place, keyed=True)
        await database.transact(place, keyed=True)
        assert await database.answer_once(ANSWER) is ANSWER
    assert await balance(database, "a") == 2


async def test_a_claim_runs_until_it_is_answered_and_the_first_answer_wins(database: Database) -> None:
    with a_call(key()):
        await database.transact(lambda tx: tx.claim(resource_id="order-1"))
        running = await known(database, key())
        assert isinstance(running, Running)
        assert (running.resource_id, running.is_abandoned) == ("order-1", False)
        assert timedelta() < running.retry_after <= timedelta(seconds=5)
        with pytest.raises(KeyTaken):
            await database.transact(lambda tx: tx.claim(resource_id="order-1"))
        assert await database.answer_once(ANSWER) is ANSWER
        # A second worker that comes to another result gives the first one.
        assert await database.answer_once(Order(id="order-1", version=4)) == ANSWER
        assert await database.answer_once(FailedPrecondition("PAYMENT_DECLINED", "no")) == ANSWER


async def test_a_first_answer_that_is_an_error_is_raised_for_all(database: Database) -> None:
    declined = FailedPrecondition("PAYMENT_DECLINED", "the card was declined", metadata={"order_id": "order-1"})
    with a_call(key()):
        await database.transact(lambda tx: tx.claim(resource_id="order-1"))
        with pytest.raises(FailedPrecondition) as own:
            await database.answer_once(declined)
        assert own.value is declined
        with pytest.raises(FailedPrecondition) as late:
            await database.answer_once(ANSWER)
        assert (late.value.reason, late.value.metadata) == ("PAYMENT_DECLINED", {"order_id": "order-1"})
    answer = await known(database, key())
    assert isinstance(answer, StoredAnswer)
    assert answer.is_error


async def test_an_error_that_may_be_gone_next_time_is_not_stored(database: Database) -> None:
    away = Unavailable("DEPENDENCY_UNAVAILABLE", "payment is away")
    with a_call(key()):
        await database.transact(lambda tx: tx.claim(resource_id="order-1"))
        with pytest.raises(Unavailable):
            await database.answer_once(away)
        assert isinstance(await known(database, key()), Running)
        with pytest.raises(ValueError, match="UNAVAILABLE"):
            await database.transact(lambda tx: tx.answer(away))


async def test_a_definitive_error_is_stored_with_its_effect(database: Database) -> None:
    async def reject(tx: Transaction) -> None:
        await tx.claim()
        await add(tx, "rejected")
        await tx.answer(FailedPrecondition("INSUFFICIENT_STOCK", "sold out"))

    with a_call(key()):
        await database.transact(reject)
        answer = await known(database, key())
        assert isinstance(answer, StoredAnswer)
        assert answer.is_error
        with pytest.raises(KeyTaken):
            await database.transact(reject)
    assert await balance(database, "rejected") == 1


async def test_an_abandoned_claim_is_continued_by_one_with_the_same_resource(database: Database) -> None:
    with a_call(key(lease=0)):
        await database.transact(lambda tx: tx.claim(resource_id="order-1"))
    abandoned = await known(database, key())
    assert isinstance(abandoned, Running)
    assert (abandoned.is_abandoned, abandoned.resource_id) == (True, "order-1")

    async def take_over() -> bool:
        with a_call(key(resource_id="order-1")):
            try:
                await database.transact(lambda tx: tx.claim(resource_id="order-1"))
            except KeyTaken:
                return False
            return True

    assert sorted(await asyncio.gather(*(take_over() for _ in range(5)))) == [False] * 4 + [True]


async def test_nobody_starts_anew_where_somebody_left_off(database: Database) -> None:
    with a_call(key(lease=0)):
        await database.transact(lambda tx: tx.claim(resource_id="order-1"))
    with a_call(key()), pytest.raises(KeyTaken):
        await database.transact(lambda tx: tx.claim(resource_id="order-2"))


async def test_a_claim_is_gone_with_its_transaction(database: Database) -> None:
    async def die(tx: Transaction) -> None:
        await tx.claim(resource_id="order-1")
        raise ConnectionError("the process dies here")

    with a_call(key()), pytest.raises(ConnectionError):
        await database.transact(die)
    assert await known(database, key()) is None
