"""What mTLS costs: the server behind the pipeline over mTLS against the same over plaintext."""

from collections.abc import Sequence

from tests.bench.echo import echo_servers
from tests.bench.figure import Figure, compare


def measure() -> Sequence[Figure]:
    """Calls over four connections that stay open, as between services."""
    with echo_servers() as servers:
        return compare(
            "mtls",
            ("over mTLS", servers.start("pipeline", "mtls").sample),
            ("over plaintext", servers.start("pipeline", "plaintext").sample),
            target=0.85,
            aim=0.92,
        )
