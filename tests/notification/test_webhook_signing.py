"""Signatures that the published library accepts, and secrets that nobody reads out of the database."""

import base64
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from services.notification.webhooks import signing
from services.notification.webhooks.sealing import CannotOpen, Safe

BODY = '{"type":"order.confirmed","data":{"name":"Käse"}}'.encode()
EVENT = "0190a000-0000-7000-8000-00000000cccc"


def test_a_signature_is_what_the_specification_gives_as_its_example() -> None:
    # https://github.com/standard-webhooks/standard-webhooks, the vector of its libraries' tests
    told = signing.headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        b'{"test": 2432232314}',
        time=datetime.fromtimestamp(1614265330, UTC),
        keys=[base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")],
    )

    assert told == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_receiver_with_the_secret_is_content_and_one_with_another_is_not() -> None:
    secret = signing.new_secret()
    told = dict(signing.headers(EVENT, BODY, time=datetime.now(UTC), keys=[secret]))

    assert Webhook(signing.shown(secret)).verify(BODY, told)["data"] == {"name": "Käse"}
    with pytest.raises(WebhookVerificationError):
        Webhook(signing.shown(signing.new_secret())).verify(BODY, told)
    with pytest.raises(WebhookVerificationError):
        Webhook(signing.shown(secret)).verify(BODY.replace(b"confirmed", b"cancelled"), told)
    with pytest.raises(WebhookVerificationError):
        Webhook(signing.shown(secret)).verify(BODY, {**told, "webhook-id": "another"})


def test_with_two_secrets_a_receiver_of_either_is_content() -> None:
    old, new = signing.new_secret(), signing.new_secret()
    told = dict(signing.headers(EVENT, BODY, time=datetime.now(UTC), keys=[new, old]))

    assert len(told["webhook-signature"].split(" ")) == 2
    for secret in (old, new):
        assert Webhook(signing.shown(secret)).verify(BODY, told)


def test_secrets_are_long_and_all_different() -> None:
    assert len({signing.new_secret() for _ in range(100)}) == 100
    assert len(base64.b64decode(signing.shown(signing.new_secret()).removeprefix("whsec_"))) == 32


OLD, NEW = b"o" * 32, b"n" * 32


def test_what_is_sealed_shows_nothing_and_opens_again() -> None:
    secret = signing.new_secret()
    sealed = Safe([NEW]).seal(secret, webhook_id="one")

    assert secret not in sealed
    assert Safe([NEW]).seal(secret, webhook_id="one") != sealed
    assert Safe([NEW]).open(sealed, webhook_id="one") == secret


def test_a_new_key_in_front_opens_what_the_old_one_sealed() -> None:
    sealed = Safe([OLD]).seal(b"secret", webhook_id="one")

    assert Safe([NEW, OLD]).open(sealed, webhook_id="one") == b"secret"
    with pytest.raises(CannotOpen, match="not here"):
        Safe([NEW]).open(sealed, webhook_id="one")
    with pytest.raises(CannotOpen, match="not here"):
        Safe([OLD]).open(Safe([NEW, OLD]).seal(b"secret", webhook_id="one"), webhook_id="one")


def test_a_secret_moved_to_another_webhook_or_changed_does_not_open() -> None:
    safe = Safe([NEW])
    sealed = safe.seal(b"secret", webhook_id="one")

    with pytest.raises(CannotOpen, match="changed"):
        safe.open(sealed, webhook_id="two")
    for at in range(8, len(sealed)):
        with pytest.raises(CannotOpen):
            safe.open(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :], webhook_id="one")
    for length in range(len(sealed)):
        with pytest.raises(CannotOpen):
            safe.open(sealed[:length], webhook_id="one")


@pytest.mark.parametrize("text", ["", "short", base64.b64encode(b"x" * 31).decode(), "not base64!"])
def test_keys_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="each key must"):
        Safe.from_text(text)


def test_without_a_key_nothing_is_sealed() -> None:
    assert not Safe().can_seal
    with pytest.raises(LookupError):
        Safe().seal(b"secret", webhook_id="one")
