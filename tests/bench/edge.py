"""What the edge costs: a read over REST through Envoy against the same read by native gRPC at the service's own door.

The service runs on one core; Envoy, the load, and whatever else must run on the other. Both ways speak mTLS to the
service. Of the traces one in ten is recorded and exported, by edge and service alike, as in production.

The target is for the echo that `pipeline` and `mtls` are measured with. A read that a service answers from memory,
public and without a token, is told beside it: there the service has least to do and the edge weighs most.
"""

from collections.abc import Sequence

from tests.bench.doors import Doors
from tests.bench.edge_echo import echo_behind_edge
from tests.bench.edge_product import product_behind_edge
from tests.bench.figure import Figure, compare, figure


def measure() -> Sequence[Figure]:
    """Gives the ratios of rates, and what a single call takes by either way.

    Raises:
        GeneratorMissing: A load generator is not there.
    """
    with echo_behind_edge() as doors:
        figures = _over_http2("edge", doors, target=0.85, aim=0.95)
        figures += compare(
            "edge over HTTP/1.1",
            ("REST through the edge", doors.sampled(doors.rest_over_http1)),
            ("gRPC at the service", doors.sampled(doors.grpc)),
        )
        figures += _alone(doors)
    with product_behind_edge() as doors:
        figures += _over_http2("edge, GetProduct from memory", doors)
    return figures


def _over_http2(name: str, doors: Doors, *, target: float | None = None, aim: float | None = None) -> list[Figure]:
    return compare(
        name,
        ("REST through the edge", doors.sampled(doors.rest)),
        ("gRPC at the service", doors.sampled(doors.grpc)),
        target=target,
        aim=aim,
    )


def _alone(doors: Doors) -> list[Figure]:
    rest, grpc = doors.latency(doors.rest), doors.latency(doors.grpc)
    return [
        figure(f"one client: added by the edge, {name}", [rest[number] - grpc[number]], unit="ms")
        for number, name in enumerate(("p50", "p99"))
    ] + [figure(f"  {label}, p50", [latency[0]], unit="ms") for label, latency in (("REST", rest), ("gRPC", grpc))]
