"""What OpenTelemetry's own server interceptor costs alone, against the whole pipeline (docs/decisions/021)."""

from collections.abc import Sequence

from tests.bench.echo import echo_servers
from tests.bench.figure import Figure, compare


def measure() -> Sequence[Figure]:
    """Both sample one trace of ten and export it."""
    with echo_servers() as servers:
        return compare(
            "OpenTelemetry's interceptor alone against the whole pipeline",
            ("OpenTelemetry's interceptor", servers.start("stock", "mtls").sample),
            ("behind the pipeline", servers.start("pipeline", "mtls").sample),
        )
