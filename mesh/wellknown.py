"""Names that are the same wherever they are said: the portal, and how health is asked for."""

from typing import Final

PORTAL: Final = "portal"
"""The workload that serves what belongs to no service, and tells of the whole system."""

HEALTH_SERVICE: Final = "grpc.health.v1.Health"
"""The gRPC health checking protocol (https://github.com/grpc/grpc/blob/master/doc/health-checking.md)."""

HEALTH_CHECK: Final = f"/{HEALTH_SERVICE}/Check"
"""gRPC path: the health now."""

HEALTH_WATCH: Final = f"/{HEALTH_SERVICE}/Watch"
"""gRPC path: the health, and each change of it."""

HEALTH_PAGE: Final = "/healthz"
"""HTTP path: the health of the whole system."""
