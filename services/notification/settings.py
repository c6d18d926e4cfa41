"""What the notification service is told at start, beyond what every service is."""

import ipaddress
from datetime import timedelta
from email.headerregistry import Address
from email.utils import parseaddr
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import NoDecode

from mesh.settings import MeshSettings
from services.notification.transports import SmtpServer
from services.notification.webhooks.addresses import Network, Rules
from services.notification.webhooks.domain import Patience
from services.notification.webhooks.sealing import Safe


class NotificationSettings(MeshSettings):
    """Settings of the notification service."""

    mail_dir: Path | None = Field(None, validation_alias="ZOCO_MAIL_DIR")
    """Directory into which mail is written as .eml files, instead of being sent."""

    smtp_url: SecretStr | None = Field(None, validation_alias="SMTP_URL")
    """The mail server: `smtp://user:password@host:port`, or `smtps://...` for TLS from the first byte."""

    mail_from: str = Field("Zoco <no-reply@zoco.local>", validation_alias="ZOCO_MAIL_FROM")
    """Whom mail is from."""

    webhook_keys: SecretStr | None = Field(None, validation_alias="ZOCO_WEBHOOK_KEYS")
    """Keys under which secrets of webhooks are kept: base64 of 32 bytes each, separated by commas. The first is for new
    secrets, all open those of before. Without it no webhook can be made."""

    webhook_networks: Annotated[tuple[Network, ...], NoDecode] = Field((), validation_alias="ZOCO_WEBHOOK_NETWORKS")
    """Private networks to which webhooks may go, such as `10.1.0.0/16,127.0.0.0/8`; none of them by default."""

    webhook_http: bool = Field(False, validation_alias="ZOCO_WEBHOOK_HTTP")
    """Whether webhooks may go in clear."""

    webhook_ca_file: Path | None = Field(None, validation_alias="ZOCO_WEBHOOK_CA_FILE")
    """Certificates of authorities (PEM) that webhooks' receivers may have beside those of the public ones."""

    webhook_timeout_seconds: float = Field(15.0, gt=0, le=60, validation_alias="ZOCO_WEBHOOK_TIMEOUT_SECONDS")
    """How long one attempt may take, all in all."""

    webhook_lease_seconds: float = Field(60.0, gt=0, le=600, validation_alias="ZOCO_WEBHOOK_LEASE_SECONDS")
    """How long nobody else takes a delivery that is being sent; longer than an attempt may take."""

    webhook_first_retry_seconds: float = Field(10.0, gt=0, le=3600, validation_alias="ZOCO_WEBHOOK_FIRST_RETRY_SECONDS")
    """The longest pause after a first failure; it doubles with each."""

    webhook_give_up_hours: float = Field(24.0, gt=0, le=720, validation_alias="ZOCO_WEBHOOK_GIVE_UP_HOURS")
    """After which time in vain a delivery fails, and a webhook through which nothing got is disabled."""

    @property
    def safe(self) -> Safe:
        """What secrets of webhooks are kept in."""
        return Safe() if self.webhook_keys is None else Safe.from_text(self.webhook_keys.get_secret_value())

    @property
    def webhook_rules(self) -> Rules:
        """Where webhooks may go."""
        return Rules(networks=self.webhook_networks, http=self.webhook_http)

    @property
    def webhook_patience(self) -> Patience:
        """How long webhooks are tried."""
        return Patience(
            first_retry=timedelta(seconds=self.webhook_first_retry_seconds),
            give_up_after=timedelta(hours=self.webhook_give_up_hours),
        )

    @property
    def sender(self) -> Address:
        """Whom mail is from, as a header has it."""
        return _address(self.mail_from)

    @field_validator("smtp_url")
    @classmethod
    def _names_a_server(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            SmtpServer.from_url(value.get_secret_value())
        return value

    @field_validator("mail_from")
    @classmethod
    def _is_a_mailbox(cls, value: str) -> str:
        _address(value)
        return value

    @field_validator("webhook_keys")
    @classmethod
    def _are_keys(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            Safe.from_text(value.get_secret_value())
        return value

    @field_validator("webhook_networks", mode="before")
    @classmethod
    def _are_networks(cls, value: Any) -> Any:
        return [ipaddress.ip_network(part.strip()) for part in value.split(",")] if isinstance(value, str) else value

    @field_validator("webhook_ca_file")
    @classmethod
    def _is_a_file(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError(f"{value} does not exist")
        return value

    @model_validator(mode="after")
    def _lease_outlasts_an_attempt(self) -> Self:
        if self.webhook_lease_seconds <= self.webhook_timeout_seconds:
            raise PydanticCustomError(
                "webhook_lease", "ZOCO_WEBHOOK_LEASE_SECONDS: must be longer than ZOCO_WEBHOOK_TIMEOUT_SECONDS"
            )
        return self

    @model_validator(mode="after")
    def _one_way_out(self) -> Self:
        if (self.mail_dir is None) == (self.smtp_url is None):
            raise ValueError("either ZOCO_MAIL_DIR or SMTP_URL must be set")
        return self


def _address(text: str) -> Address:
    name, spec = parseaddr(text)
    if not spec or "@" not in spec:
        raise ValueError("must look like Name <address@host>")
    return Address(display_name=name, addr_spec=spec)
