"""What the pipeline costs: a unary echo behind all of its stages against the same handler on bare grpc.aio.

Behind the pipeline it is served as a service serves, in batches (`mesh.scheduling`); bare as anybody starts a server of
grpc.aio. What is left of that when both run in batches is told, too: it is what the stages alone cost.
"""

from collections.abc import Sequence

from tests.bench.echo import echo_servers
from tests.bench.figure import Figure, compare


def measure() -> Sequence[Figure]:
    """Over plaintext, where bare grpc.aio is fastest and the pipeline weighs most; and over mTLS, as services run."""
    with echo_servers() as servers:
        plaintext = ("behind the pipeline", servers.start("pipeline", "plaintext").sample)
        figures = compare(
            "pipeline",
            plaintext,
            ("bare", servers.start("bare", "plaintext").sample),
            target=0.75,
            aim=0.85,
        )
        figures += compare(
            "pipeline, both in batches", plaintext, ("bare", servers.start("batched", "plaintext").sample)
        )
        figures += compare(
            "pipeline over mTLS",
            ("behind the pipeline", servers.start("pipeline", "mtls").sample),
            ("bare", servers.start("bare", "mtls").sample),
        )
        return figures
