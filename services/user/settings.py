"""What the user service is told at start, beyond what every service is."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator

from mesh.settings import MeshSettings
from services.user.domain import BadFieldError, checked_email
from services.user.tokens import SigningKeyError, read_keys


class UserSettings(MeshSettings):
    """Settings of the user service."""

    signing_keys_dir: Path = Field(validation_alias="ZOCO_SIGNING_KEYS_DIR")
    """Directory of Ed25519 private keys (PEM, PKCS #8); a file's name is its key's id and `.pem`."""

    signing_key_lead_seconds: float = Field(120.0, ge=0, validation_alias="ZOCO_SIGNING_KEY_LEAD_SECONDS")
    """How long a new key is published before it signs: twice the time for which verifiers may cache the key set."""

    admin_email: str | None = Field(None, validation_alias="ZOCO_ADMIN_EMAIL")
    """Address of an administrator who is made at start unless the address has an account."""

    admin_password: SecretStr | None = Field(None, validation_alias="ZOCO_ADMIN_PASSWORD")
    """Password of that administrator, 12 to 128 characters; used only when the account is made."""

    password_threads: int = Field(2, ge=1, le=64, validation_alias="ZOCO_PASSWORD_THREADS")
    """How many passwords are hashed at once; each takes 19 MiB and a core for about 20 ms."""

    password_queue: int = Field(100, ge=0, le=10_000, validation_alias="ZOCO_PASSWORD_QUEUE")
    """How many more may wait; beyond that log-ins are refused as OVERLOADED."""

    @field_validator("signing_keys_dir")
    @classmethod
    def _holds_a_key(cls, value: Path) -> Path:
        try:
            read_keys(value)
        except SigningKeyError as error:
            raise ValueError(str(error)) from error
        return value

    @field_validator("admin_email")
    @classmethod
    def _is_a_mailbox(cls, value: str | None) -> str | None:
        try:
            return None if value is None else checked_email(value)
        except BadFieldError as error:
            raise ValueError(error.description) from error

    @field_validator("admin_password")
    @classmethod
    def _is_long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not 12 <= len(value.get_secret_value()) <= 128:
            raise ValueError("must have 12 to 128 characters")
        return value

    @model_validator(mode="after")
    def _come_together(self) -> Self:
        if (self.admin_email is None) != (self.admin_password is None):
            raise ValueError("ZOCO_ADMIN_EMAIL and ZOCO_ADMIN_PASSWORD are given together or not at all")
        return self
