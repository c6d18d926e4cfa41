"""What payment is told at start, beyond what every service is."""

from pydantic import Field, SecretStr

from mesh.settings import MeshSettings


class PaymentSettings(MeshSettings):
    """Settings of payment."""

    provider: str = Field("sandbox", pattern="^sandbox$", validation_alias="ZOCO_PAYMENT_PROVIDER")
    """Which provider new payments go to."""

    sandbox_webhook_secret: SecretStr = Field(
        SecretStr("sandbox-webhooks-are-not-secret"), validation_alias="ZOCO_SANDBOX_WEBHOOK_SECRET"
    )
    """What the sandbox's reports are signed with. The sandbox moves no money, so its default is public."""

    sandbox_slow_seconds: float = Field(3.0, ge=0, le=10, validation_alias="ZOCO_SANDBOX_SLOW_SECONDS")
    """How long tok_slow takes."""
