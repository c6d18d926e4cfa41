"""What the notification service is told at start, beyond what every service is."""

from email.headerregistry import Address
from email.utils import parseaddr
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator

from mesh.settings import MeshSettings
from services.notification.transports import SmtpServer


class NotificationSettings(MeshSettings):
    """Settings of the notification service."""

    mail_dir: Path | None = Field(None, validation_alias="ZOCO_MAIL_DIR")
    """Directory into which mail is written as .eml files, instead of being sent."""

    smtp_url: SecretStr | None = Field(None, validation_alias="SMTP_URL")
    """The mail server: `smtp://user:password@host:port`, or `smtps://...` for TLS from the first byte."""

    mail_from: str = Field("Zoco <no-reply@zoco.local>", validation_alias="ZOCO_MAIL_FROM")
    """Whom mail is from."""

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
