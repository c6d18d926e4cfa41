"""An access token on every call of a channel that shows none of its own."""

from collections.abc import Sequence
from typing import Any

import grpc


def bearer_interceptors(token: str) -> Sequence[grpc.aio.ClientInterceptor]:
    """Give what makes a channel show a token, for calls with one answer and with a stream of them."""
    return (_Unary(token), _Stream(token))


def _shown(details: Any, token: str) -> Any:
    metadata = list(details.metadata or ())
    if all(name != "authorization" for name, _ in metadata):
        metadata.append(("authorization", f"Bearer {token}"))
    return details._replace(metadata=grpc.aio.Metadata(*metadata))


class _Unary(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, token: str) -> None:
        self._token = token

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(_shown(client_call_details, self._token), request)


class _Stream(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, token: str) -> None:
        self._token = token

    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(_shown(client_call_details, self._token), request)
