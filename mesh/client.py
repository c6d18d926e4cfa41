"""A channel for clients outside the mesh: one address, a token, and the deadlines and repeats that the contract names.

    async with connect("127.0.0.1:8080") as channel:
        found = await ProductServiceStub(channel).ListProducts(ListProductsRequest(query="teapot"))

The generated stubs under `zoco` do the rest. Errors come as `mesh.errors.MeshError`, with reason and details.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import grpc

from mesh.channel import CHANNEL_OPTIONS, method_path
from mesh.errors import said, unanswered
from mesh.policy import MethodPolicy, Policy, load_policy
from mesh.service_config import client_service_config
from mesh.tuning import load_tuning

GiveToken = Callable[[], str | None]
"""Gives the access token of the moment, or None for nobody; asked on every call, so that it may be a fresh one."""


def connect(
    address: str,
    *,
    token: str | GiveToken | None = None,
    authority: Path | None = None,
    policy: Policy | None = None,
) -> grpc.aio.Channel:
    """Opens a channel to the edge of a shop. Use it as a context, or close it at the end.

    Every call has the deadline that the contract gives its method, unless the caller asks for less; what the contract
    lets repeat is repeated while the shop is UNAVAILABLE, with growing random pauses and within a budget.

    Args:
        address: `host:port` of the edge.
        token: The access token that log-in gave, or what gives the present one; None for nobody.
        authority: The certificate authority to trust, PEM; then the channel is TLS. Without it, it is not.
        policy: The contract; the one this code was generated from unless given.

    Raises:
        OSError: The authority's file cannot be read.
    """
    policy = policy or load_policy()
    give = token if callable(token) else lambda: token
    calls = _Calls(policy.methods, give)
    options = (
        *CHANNEL_OPTIONS,
        ("grpc.service_config", json.dumps(client_service_config(policy, load_tuning().retry))),
    )
    interceptors = [_Unary(calls), _Stream(calls)]
    if authority is None:
        return grpc.aio.insecure_channel(address, options=options, interceptors=interceptors)
    trust = grpc.ssl_channel_credentials(authority.read_bytes())
    return grpc.aio.secure_channel(address, trust, options=options, interceptors=interceptors)


class _Calls:
    def __init__(self, methods: Mapping[str, MethodPolicy], give_token: GiveToken) -> None:
        self._methods = methods
        self._give_token = give_token

    def prepare(self, details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
        """The call's details with a deadline and who calls."""
        metadata = grpc.aio.Metadata(*(details.metadata or ()))
        token = self._give_token()
        if token is not None and metadata.get("authorization") is None:
            metadata.add("authorization", f"Bearer {token}")
        method = self._methods.get(method_path(details))
        limits = [details.timeout, method.deadline.total_seconds() if method else None]
        timeout = min((each for each in limits if each is not None), default=None)
        return grpc.aio.ClientCallDetails(
            details.method, timeout, metadata, details.credentials, details.wait_for_ready
        )


class _Unary(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, calls: _Calls) -> None:
        self._calls = calls

    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        """Makes the call (grpc.aio.UnaryUnaryClientInterceptor)."""
        try:
            return await (await continuation(self._calls.prepare(client_call_details), request))
        except grpc.aio.AioRpcError as error:
            raise said(error) or unanswered(error) from error


class _Stream(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, calls: _Calls) -> None:
        self._calls = calls

    async def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        """Opens the stream (grpc.aio.UnaryStreamClientInterceptor); its errors surface while it is read."""
        return await continuation(self._calls.prepare(client_call_details), request)
