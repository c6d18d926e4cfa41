"""What a process is told at start: environment variables, read once, typed and checked (twelve-factor, III)."""

import ipaddress
import sys
from pathlib import Path
from typing import Final, Literal, NoReturn, Self, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from mesh import crashpoints
from mesh.policy import DESCRIPTORS
from mesh.tuning import TUNING

SettingsT = TypeVar("SettingsT", bound="MeshSettings")

TRUST_DOMAIN: Final = "zoco.local"
"""The SPIFFE trust domain of all workloads."""

TOKEN_ISSUER: Final = "https://zoco.local"  # noqa: S105 - a name, not a secret
"""`iss` of access tokens, unless the environment says otherwise."""

TOKEN_AUDIENCE: Final = "zoco"  # noqa: S105 - a name, not a secret
"""`aud` of access tokens, unless the environment says otherwise."""


class MeshSettings(BaseSettings):
    """Settings that every service has. A service adds its own by inheriting."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    env: Literal["dev", "production"] = Field("dev", validation_alias="ZOCO_ENV")
    """`dev` allows what helps a developer, such as reflection through the edge."""

    mesh: Literal["inprocess", "envoy"] = Field("inprocess", validation_alias="ZOCO_MESH")
    """`inprocess`: this process speaks mTLS with its neighbours. `envoy`: its sidecar does, and it with its sidecar."""

    sidecar: str | None = Field(None, validation_alias="ZOCO_SIDECAR")
    """Where the sidecar takes this process's calls to its neighbours."""

    listen: str = Field("127.0.0.1:50051", validation_alias="ZOCO_LISTEN")
    """Address of the gRPC server."""

    metrics_listen: str = Field("127.0.0.1:9101", validation_alias="ZOCO_METRICS_LISTEN")
    """Address of the Prometheus endpoint."""

    database_url: SecretStr | None = Field(None, validation_alias="DATABASE_URL")
    """`postgresql://role:password@host:port/database`."""

    database_pool_size: int = Field(10, ge=1, le=200, validation_alias="ZOCO_DATABASE_POOL_SIZE")
    """Connections at most."""

    nats_url: str | None = Field(None, validation_alias="NATS_URL")
    """`nats://host:port`."""

    pki_dir: Path = Field(validation_alias="ZOCO_PKI_DIR")
    """Directory with cert.pem, key.pem and ca.pem: of this workload, or of the service behind a sidecar."""

    peers: dict[str, list[str]] = Field(default_factory=dict, validation_alias="ZOCO_PEERS")
    """Addresses by workload, as JSON. A workload that is missing is looked up by DNS under its name."""

    descriptors: Path = Field(DESCRIPTORS, validation_alias="ZOCO_DESCRIPTORS")
    """The descriptor set whose policy is enforced."""

    tuning: Path = Field(TUNING, validation_alias="ZOCO_TUNING")
    """The numbers that may change without changing a promise."""

    token_issuer: str = Field(TOKEN_ISSUER, validation_alias="ZOCO_TOKEN_ISSUER")
    """`iss` of access tokens."""

    token_audience: str = Field(TOKEN_AUDIENCE, validation_alias="ZOCO_TOKEN_AUDIENCE")
    """`aud` of access tokens."""

    drain_seconds: float = Field(1.0, ge=0, le=300, validation_alias="ZOCO_DRAIN_SECONDS")
    """How long a stopping process still takes calls while its neighbours notice that it is not serving."""

    grace_seconds: float = Field(10.0, ge=0, le=300, validation_alias="ZOCO_GRACE_SECONDS")
    """How long calls in flight may go on after that."""

    crash_points: Path | None = Field(None, validation_alias=crashpoints.VARIABLE)
    """Where this process looks for orders to die (`mesh/crashpoints.py`); not in production."""

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", validation_alias="LOG_LEVEL")
    """Least severe level that is written."""

    log_format: Literal["json", "console"] | None = Field(None, validation_alias="LOG_FORMAT")
    """Without it: colour on a terminal, JSON elsewhere."""

    trace_ratio: float = Field(1.0, ge=0, le=1, validation_alias="OTEL_TRACES_SAMPLER_ARG")
    """Share of the traces begun here that is recorded."""

    otlp_endpoint: str | None = Field(None, validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    """Where spans go; without it they go nowhere, and ids still travel."""

    @field_validator("listen", "metrics_listen", "sidecar")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        host, _, port = value.rpartition(":")
        ipaddress.ip_address(host.strip("[]"))
        if not 0 <= int(port) <= 65535:
            raise ValueError("the port must be within 0 and 65535")
        return value

    @field_validator("pki_dir")
    @classmethod
    def _holds_an_identity(cls, value: Path) -> Path:
        for name in ("cert.pem", "key.pem", "ca.pem"):
            if not (value / name).is_file():
                raise ValueError(f"{value / name} does not exist")
        return value

    @model_validator(mode="after")
    def _dies_in_no_shop_of_anybodys(self) -> Self:
        if self.crash_points is not None and self.env == "production":
            raise PydanticCustomError("crash_points", f"{crashpoints.VARIABLE}: must not be set in production")
        return self

    @model_validator(mode="after")
    def _stays_behind_its_sidecar(self) -> Self:
        if self.mesh == "inprocess":
            return self
        if self.sidecar is None:
            raise PydanticCustomError(
                "sidecar", "ZOCO_SIDECAR: must say where the sidecar listens if ZOCO_MESH is envoy"
            )
        for name, address in (("ZOCO_LISTEN", self.listen), ("ZOCO_SIDECAR", self.sidecar)):
            if not ipaddress.ip_address(address.rpartition(":")[0].strip("[]")).is_loopback:
                raise PydanticCustomError("sidecar", f"{name}: must be a loopback address if ZOCO_MESH is envoy")
        return self


def load_settings(settings_class: type[SettingsT]) -> SettingsT:
    """Reads the settings from the environment, or ends the process with one sentence a variable and exit code 2."""
    try:
        return settings_class()
    except ValidationError as invalid:
        _refuse(invalid)


def _refuse(invalid: ValidationError) -> NoReturn:
    for error in invalid.errors():
        # A finding over several variables names them itself.
        variable = ".".join(str(part) for part in error["loc"])
        sys.stderr.write(f"{variable}: {error['msg']}\n" if variable else f"{error['msg']}\n")
    sys.exit(2)
