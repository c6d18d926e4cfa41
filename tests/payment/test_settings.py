"""What payment is told at start: Stripe is there with both of its secrets, and nothing secret shows."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from services.payment.settings import PaymentSettings

BOTH = {"STRIPE_API_KEY": "sk_test_123", "STRIPE_WEBHOOK_SECRET": "whsec_123"}


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    for name in ("cert.pem", "key.pem", "ca.pem"):
        (tmp_path / name).touch()
    return tmp_path


def settings(identity: Path, **values: Any) -> PaymentSettings:
    return PaymentSettings.model_validate({"ZOCO_PKI_DIR": identity, **values})


def test_the_sandbox_needs_nothing(identity: Path) -> None:
    assert settings(identity).provider == "sandbox"


def test_stripe_may_be_there_for_its_old_payments_alone(identity: Path) -> None:
    assert settings(identity, **BOTH).provider == "sandbox"
    assert settings(identity, **BOTH, ZOCO_PAYMENT_PROVIDER="stripe").provider == "stripe"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"ZOCO_PAYMENT_PROVIDER": "stripe"}, "STRIPE_API_KEY: must be set if ZOCO_PAYMENT_PROVIDER is stripe"),
        ({"ZOCO_PAYMENT_PROVIDER": "cash"}, "ZOCO_PAYMENT_PROVIDER"),
        ({"STRIPE_API_KEY": "sk_test_123"}, "STRIPE_WEBHOOK_SECRET: must be set with the other one"),
        ({"STRIPE_WEBHOOK_SECRET": "whsec_123"}, "STRIPE_API_KEY: must be set with the other one"),
        ({**BOTH, "STRIPE_API_KEY": "pk_test_123"}, "STRIPE_API_KEY"),
        ({**BOTH, "STRIPE_WEBHOOK_SECRET": "guess"}, "STRIPE_WEBHOOK_SECRET"),
        ({**BOTH, "STRIPE_API_BASE": "stripe"}, "STRIPE_API_BASE"),
        ({**BOTH, "STRIPE_API_BASE": "https://host/v1"}, "STRIPE_API_BASE"),
        ({"ZOCO_RECONCILE_MINUTES": 0}, "ZOCO_RECONCILE_MINUTES"),
    ],
)
def test_what_does_not_go_together_is_refused_by_name(identity: Path, values: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(identity, **values)

    assert told in str(refused.value)


def test_no_secret_shows(identity: Path) -> None:
    shown = repr(settings(identity, **BOTH))

    assert "sk_test_123" not in shown
    assert "whsec_123" not in shown
