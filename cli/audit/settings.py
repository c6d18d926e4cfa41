"""What the scheduled audit is told at start."""

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class AuditSettings(BaseSettings):
    """Settings of `python -m cli.audit`."""

    model_config = SettingsConfigDict(env_ignore_empty=True, frozen=True, extra="ignore")

    every: float = Field(60.0, ge=1, validation_alias="ZOCO_AUDIT_EVERY")
    """Seconds from the begin of one audit to the begin of the next; longer where an audit takes long."""

    metrics_port: int = Field(0, validation_alias="ZOCO_AUDIT_METRICS_PORT")
    """Port on loopback where Prometheus finds what was found."""

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", validation_alias="LOG_LEVEL")
    log_format: Literal["json", "console"] | None = Field(None, validation_alias="LOG_FORMAT")
