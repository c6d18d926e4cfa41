"""The layers that decide, each a running system that is asked over the wire."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

import grpc

from mesh.credentials import client_credentials
from mesh.decision import EDGE, Decision, Identity, Rule, decide
from mesh.policy import HttpRoute, MethodPolicy
from tests.gateway.edges import Edge
from tests.parity.answers import Answer, ask_grpc, ask_rest
from tests.parity.askers import Asker
from tests.parity.questions import grpc_request, rest_request

EDGE_RULES: Final = (Rule.EXPOSURE, Rule.TOKEN, Rule.ROLE)
"""What can be known before the message is decoded."""

SIDECAR_RULES: Final = (Rule.EXPOSURE, Rule.CALLER)
"""What can be known of workloads alone."""

_SECONDS: Final = 30.0


class Layer(Protocol):
    """One system that decides."""

    name: str

    def expected(self, method: MethodPolicy, asker: Asker) -> Decision | None:
        """What the policy model says that this layer must answer; None where it is not asked."""

    async def ask(self, method: MethodPolicy, asker: Asker) -> Answer:
        """What it does answer."""


class MeshLayer:
    """What every workload stands behind inside the mesh: its pipeline, or its sidecar.

    Args:
        name: for the report.
        rules: what this layer can know.
        addresses: where each workload is reached.
        pki: certificates of all askers.
        stack: closes the channels.
    """

    def __init__(
        self, name: str, rules: Sequence[Rule], addresses: Mapping[str, str], pki: Path, stack: AsyncExitStack
    ) -> None:
        self.name = name
        self._rules = rules
        self._addresses = addresses
        self._pki = pki
        self._stack = stack
        self._channels: dict[tuple[str, str], grpc.aio.Channel] = {}

    def expected(self, method: MethodPolicy, asker: Asker) -> Decision | None:
        """The decision on the certificate, and where the layer knows it on the token and the owner."""
        owner = asker.owner if method.owner_field else None
        return decide(method, asker.identity, owner=owner, rules=self._rules)

    async def ask(self, method: MethodPolicy, asker: Asker) -> Answer:
        """Ask with the asker's certificate."""
        channel = self._channel(asker.certificate, method.workload)
        return await ask_grpc(lambda: _call(channel, method, asker))

    def _channel(self, certificate: str, workload: str) -> grpc.aio.Channel:
        key = certificate, workload
        if key not in self._channels:
            self._channels[key] = grpc.aio.secure_channel(
                self._addresses[workload],
                client_credentials(self._pki / certificate),
                options=(("grpc.ssl_target_name_override", workload), ("grpc.use_local_subchannel_pool", 1)),
            )
            self._stack.push_async_callback(self._channels[key].close)
        return self._channels[key]


class EdgeLayer:
    """The edge, by native gRPC. Whoever comes through it is outside, whatever certificate they show."""

    name = "edge, gRPC"

    def __init__(self, edge: Edge, pki: Path, stack: AsyncExitStack) -> None:
        self._edge = edge
        self._pki = pki
        self._stack = stack
        self._secure: dict[str, grpc.aio.Channel] = {}

    def expected(self, method: MethodPolicy, asker: Asker) -> Decision | None:
        """The decision on the token."""
        return _unknown_if_hidden(decide(method, _outside(asker), rules=EDGE_RULES))

    async def ask(self, method: MethodPolicy, asker: Asker) -> Answer:
        """Ask on the plain port; a workload on the TLS port, with its certificate."""
        channel = self._edge.channel if asker.certificate == EDGE else self._with_certificate(asker.certificate)
        return await ask_grpc(lambda: _call(channel, method, asker))

    def _with_certificate(self, workload: str) -> grpc.aio.Channel:
        if workload not in self._secure:
            self._secure[workload] = grpc.aio.secure_channel(
                self._edge.tls_url.removeprefix("https://"),
                client_credentials(self._pki / workload),
                options=(("grpc.use_local_subchannel_pool", 1),),
            )
            self._stack.push_async_callback(self._secure[workload].close)
        return self._secure[workload]


class RestLayer:
    """The edge, by REST: every route of every method."""

    name = "edge, REST"

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def expected(self, method: MethodPolicy, asker: Asker) -> Decision | None:
        """As by gRPC where there is a route. A client's certificate never reaches HTTP, so people only."""
        if not method.routes or asker.certificate != EDGE:
            return None
        return decide(method, asker.identity, rules=EDGE_RULES)

    async def ask(self, method: MethodPolicy, asker: Asker) -> Answer:
        """Ask by each route: one answer, or the routes do not agree.

        Raises:
            AssertionError: they do not.
        """
        answers = {await self._ask(method, route, asker) for route in method.routes}
        assert len(answers) == 1, f"the REST routes of {method.path} do not agree: {answers}"
        return answers.pop()

    async def _ask(self, method: MethodPolicy, route: HttpRoute, asker: Asker) -> Answer:
        verb, path, arguments = rest_request(method, route, asker.owner)
        arguments["headers"] = {**arguments.get("headers", {}), **_bearer(asker)}
        return await ask_rest(lambda: self._edge.rest(verb, path, **arguments))


def _outside(asker: Asker) -> Identity:
    return asker.identity if asker.certificate == EDGE else replace(asker.identity, workload=EDGE)


def _unknown_if_hidden(decision: Decision) -> Decision:
    """The edge has no route to what is not exposed, so it says that there is no such method rather than no."""
    if decision.rule is not Rule.EXPOSURE:
        return decision
    return replace(decision, code=grpc.StatusCode.UNIMPLEMENTED, reason="METHOD_UNKNOWN")


async def _call(channel: grpc.aio.Channel, method: MethodPolicy, asker: Asker) -> bytes:
    """Call a method; of a stream, read to its end."""
    metadata = tuple(_bearer(asker).items())
    if method.keyed:
        metadata += (("idempotency-key", f"parity-{asker.name.replace(' ', '-')}"),)
    request = grpc_request(method, asker.owner)
    if not method.server_streaming:
        unary: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method.path)
        return await unary(request, metadata=metadata, timeout=_SECONDS)
    stream: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(method.path)
    return b"".join([each async for each in stream(request, metadata=metadata, timeout=_SECONDS)])


def _bearer(asker: Asker) -> dict[str, str]:
    return {"authorization": f"Bearer {asker.token}"} if asker.token else {}
