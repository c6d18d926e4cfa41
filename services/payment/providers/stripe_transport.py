"""How requests reach Stripe: over httpx, telling what was never sent from what lost its answer.

The SDK's own client over httpx names every failure alike. Here the difference decides whether money may have moved.
"""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import httpx
from stripe import APIConnectionError, HTTPClient

CONNECT: Final = timedelta(seconds=2)
"""How long a connection may take to be made; a request waits as long for one that is free."""


class NeverSent(APIConnectionError):
    """No connection was made, so Stripe has not seen the request."""


class Transport(HTTPClient):
    """Asynchronous requests to Stripe, on connections that are kept.

    Args:
        timeout: How long Stripe may be silent before its answer counts as lost.
    """

    name = "httpx"

    def __init__(self, *, timeout: timedelta) -> None:
        super().__init__()
        connect = CONNECT.total_seconds()
        self._http = httpx.AsyncClient(timeout=httpx.Timeout(timeout.total_seconds(), connect=connect, pool=connect))

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Makes one request.

        Raises:
            NeverSent: It did not leave.
            APIConnectionError: It may have; no answer came.
        """
        try:
            answer = await self._http.request(method, url, headers=dict(headers), content=post_data or None)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol) as failed:
            raise _error(NeverSent, "Stripe cannot be reached", failed) from failed
        except httpx.HTTPError as failed:
            raise _error(APIConnectionError, "Stripe's answer was lost", failed) from failed
        return answer.content, answer.status_code, answer.headers

    def sleep_async(self, secs: float) -> Any:
        """What the SDK waits by before a repeat; repeats are ours, so it has none."""
        return asyncio.sleep(secs)

    async def close_async(self) -> None:
        """Closes the connections."""
        await self._http.aclose()


def _error(kind: type[APIConnectionError], what: str, cause: httpx.HTTPError) -> APIConnectionError:
    return kind(f"{what}: {type(cause).__name__}")
