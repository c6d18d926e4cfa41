"""Every setting of the command line and of the one-machine platform, read once from the environment."""

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from cli.failures import Failure
from mesh.settings import TOKEN_AUDIENCE, TOKEN_ISSUER
from mesh.tuning import TUNING

PROJECT = Path(__file__).resolve().parents[2]
DEFAULT_EDGE_PORT = 8080
DEFAULT_EDGE_TLS_PORT = 8443
DEFAULT_SERVICES_PORT = 50051
DEFAULT_METRICS_PORT = 9101
LONGEST_BACKOFF_SECONDS = 30.0

Port = Annotated[int, Field(ge=1, le=65535)]


_HOST: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]")
_USUAL_PORT: Final = {"http": 80, "https": 443}


class LocalSettings(BaseSettings):
    """Settings of `zoco` on one machine. An empty variable counts as not set."""

    model_config = SettingsConfigDict(env_prefix="ZOCO_", env_ignore_empty=True, frozen=True, extra="ignore")

    home: Path = Field(default=PROJECT / ".zoco", description="Where all local state lives.")
    env: Literal["dev", "production"] = "dev"
    edge_port: Port = Field(default=DEFAULT_EDGE_PORT, description="REST, gRPC and gRPC-Web.")
    edge_tls_port: Port | None = Field(default=None, description="The same over TLS; moves along with the edge.")
    services_port: Port | None = Field(default=None, description="First port of the services' block.")
    metrics_port: Port | None = Field(default=None, description="First port of the metrics' block.")
    replicas: Annotated[dict[str, int], NoDecode] = Field(
        default_factory=dict, description="Processes a service, as `product=2,order=2`; one where not named."
    )
    services: Annotated[tuple[str, ...] | None, NoDecode] = Field(
        default=None, description="Start only these, as `user,product`; `none`: only database and broker."
    )
    mesh: Literal["inprocess", "envoy"] = Field(
        default="inprocess",
        validation_alias=AliasChoices("MESH", "ZOCO_MESH"),
        description="`envoy` puts a sidecar beside each service process.",
    )
    tuning: Path = Field(default=TUNING, description="The numbers of edge, sidecars and services alike.")
    envoy: Path | None = Field(default=None, description="An Envoy binary to use instead of the packaged one.")
    start_timeout: float = Field(default=60.0, gt=0, description="Seconds a process may take to become healthy.")
    restart_backoff_most: float = Field(
        default=LONGEST_BACKOFF_SECONDS,
        gt=0,
        description="Seconds, at most, until a process that died is started anew.",
    )
    preload: bool = Field(default=True, description="Fork services from a process that has imported their libraries.")
    sample_catalog: bool = Field(default=True, description="Load the sample catalog on the first start.")
    database_url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("DATABASE_URL"),
        description="A PostgreSQL of yours, with a role that may create roles and databases; ours is not started.",
    )
    nats_url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("NATS_URL"),
        description="A NATS server of yours with JetStream; ours is not started.",
    )
    database_pool_size: int = Field(default=10, ge=1, le=200, description="Connections of each process at most.")
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("http://localhost:3000",),
        description="Whose pages may call the edge beside its own, as `https://shop.example`, by commas; or `none`.",
    )
    token_issuer: str = Field(default=TOKEN_ISSUER, description="`iss` of access tokens.")
    token_audience: str = Field(default=TOKEN_AUDIENCE, description="`aud` of access tokens.")
    signing_key_lead_seconds: float = Field(
        default=120.0, ge=0, description="How long a new key is published before it signs tokens."
    )
    otlp_endpoint: str | None = Field(
        default=None,
        validation_alias=AliasChoices("OTEL_EXPORTER_OTLP_ENDPOINT"),
        description="A collector of traces, as `http://127.0.0.1:4317`; the edge sends none to one with TLS.",
    )
    trace_ratio: float = Field(
        default=1.0,
        ge=0,
        le=1,
        validation_alias=AliasChoices("OTEL_TRACES_SAMPLER_ARG"),
        description="Share of the traces begun here that is recorded.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", validation_alias=AliasChoices("LOG_LEVEL")
    )
    log_format: Literal["json", "console"] = Field(default="json", validation_alias=AliasChoices("LOG_FORMAT"))

    @field_validator("home", "tuning")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("otlp_endpoint")
    @classmethod
    def _endpoint(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            if parts.scheme not in {"http", "https"} or not parts.hostname:
                raise ValueError("must read like http://127.0.0.1:4317")
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("replicas", mode="before")
    @classmethod
    def _pairs(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        if any(not sign or not count.strip().isdigit() or int(count) < 1 for _, sign, count in pairs):
            raise ValueError("must read like product=2,order=3, each at least 1")
        return {name.strip(): int(count) for name, _, count in pairs}

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _origins(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if value.strip() == "none":
            return ()
        return tuple(_as_browsers_say(each.strip()) for each in value.split(","))

    @field_validator("services", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return () if value == "none" else tuple(name.strip() for name in value.split(",") if name.strip())

    @property
    def moved(self) -> bool:
        """Whether the edge stands elsewhere than by default: a second checkout that must not get in the first's way."""
        return self.edge_port != DEFAULT_EDGE_PORT


def _as_browsers_say(origin: str) -> str:
    """Return an origin that browsers can send (RFC 6454, 6.2): the edge compares it to the letter.

    Raises:
        ValueError: no browser says it like that.
    """
    try:
        parts = urlsplit(origin)
        host = parts.hostname or ""
        host = f"[{ip_address(host)}]" if ":" in host else host
        port = "" if parts.port in {None, _USUAL_PORT.get(parts.scheme)} else f":{parts.port}"
        good = parts.scheme in _USUAL_PORT and _HOST.fullmatch(host) and origin == f"{parts.scheme}://{host}{port}"
    except ValueError:
        good = False
    if not good:
        raise ValueError(
            f"{origin!r} is no origin: scheme and host in small letters, a port only where it is not the usual one, "
            "and nothing behind it, as https://shop.example"
        )
    return origin


def read_settings() -> LocalSettings:
    """Return the settings out of the environment.

    Raises:
        Failure: a variable has a value that cannot be used; the sentence names it.
    """
    try:
        return LocalSettings()
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0]) if first["loc"] else "settings"
        name = field if field.isupper() else f"ZOCO_{field.upper()}"
        raise Failure(f"{name} cannot be used: {first['msg'].removeprefix('Value error, ')}.") from None
