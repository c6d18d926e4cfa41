"""What payment is told at start, beyond what every service is."""

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_core import PydanticCustomError

from mesh.settings import MeshSettings


class PaymentSettings(MeshSettings):
    """Settings of payment."""

    provider: Literal["sandbox", "stripe"] = Field("sandbox", validation_alias="ZOCO_PAYMENT_PROVIDER")
    """Which provider new payments go to. Payments that another one made stay with it."""

    sandbox_webhook_secret: SecretStr = Field(
        SecretStr("sandbox-webhooks-are-not-secret"), validation_alias="ZOCO_SANDBOX_WEBHOOK_SECRET"
    )
    """What the sandbox's reports are signed with. The sandbox moves no money, so its default is public."""

    sandbox_slow_seconds: float = Field(3.0, ge=0, le=10, validation_alias="ZOCO_SANDBOX_SLOW_SECONDS")
    """How long tok_slow takes."""

    stripe_api_key: SecretStr | None = Field(None, validation_alias="STRIPE_API_KEY")
    """A secret or restricted key of Stripe; with it, Stripe is there."""

    stripe_webhook_secret: SecretStr | None = Field(None, validation_alias="STRIPE_WEBHOOK_SECRET")
    """What Stripe signs its reports with: the signing secret of the endpoint."""

    stripe_api_base: str | None = Field(None, validation_alias="STRIPE_API_BASE")
    """Where Stripe is, if not at its own address: stripe-mock, or a proxy."""

    stripe_timeout_seconds: float = Field(6.0, gt=0, le=60, validation_alias="ZOCO_STRIPE_TIMEOUT_SECONDS")
    """How long Stripe may be silent before its answer counts as lost."""

    reconcile_minutes: float = Field(5.0, gt=0, le=1440, validation_alias="ZOCO_RECONCILE_MINUTES")
    """How often payments are held against the providers' ledgers."""

    @field_validator("stripe_api_key")
    @classmethod
    def _may_ask(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("sk_", "rk_")):
            raise ValueError("must be a secret (sk_) or restricted (rk_) key")
        return value

    @field_validator("stripe_webhook_secret")
    @classmethod
    def _signs(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith("whsec_"):
            raise ValueError("must be a signing secret (whsec_)")
        return value

    @field_validator("stripe_api_base")
    @classmethod
    def _is_a_base(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            if parts.scheme not in ("http", "https") or not parts.netloc or parts.path not in ("", "/"):
                raise ValueError("must look like https://host")
        return value and value.rstrip("/")

    @model_validator(mode="after")
    def _knows_stripe(self) -> Self:
        if (self.stripe_api_key is None) != (self.stripe_webhook_secret is None):
            missing = "STRIPE_API_KEY" if self.stripe_api_key is None else "STRIPE_WEBHOOK_SECRET"
            raise PydanticCustomError("stripe", "{missing}: must be set with the other one", {"missing": missing})
        if self.provider == "stripe" and self.stripe_api_key is None:
            raise PydanticCustomError("stripe", "STRIPE_API_KEY: must be set if ZOCO_PAYMENT_PROVIDER is stripe")
        return self
