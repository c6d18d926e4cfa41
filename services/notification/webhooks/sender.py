"""One attempt: a request to an address that was judged, in bounded time; of its answer only the head is read."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import httpx

from mesh.version import VERSION
from services.notification.domain import one_line
from services.notification.webhooks.addresses import Address, NotAllowed, Rules, resolve

TIMEOUT: Final = timedelta(seconds=15)
_CONNECTS: Final = 3
"""Which part of that one address may take to be connected to, so that there is time for another."""
LONGEST_WISH: Final = timedelta(hours=1)
"""The longest pause that a receiver can ask for."""


@dataclass(frozen=True)
class Attempt:
    """What became of an attempt."""

    status: int | None
    """What was answered; None where nothing was."""
    error: str = ""
    """Why it failed, for the webhook's owner; empty where it did not."""
    wish: timedelta | None = None
    """How long the receiver asks to be left alone (`retry-after`)."""

    @property
    def is_delivered(self) -> bool:
        """Whether the receiver has it."""
        return not self.error

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants no more."""
        return self.status == httpx.codes.GONE


class Sender:
    """Sends requests to receivers.

    It is a bare transport: no redirect is followed, no cookie kept, no proxy of the environment asked. Each request has
    a connection of its own, since one that was opened for a name must not serve another name of the same address.

    Args:
        rules: Where requests may go.
        timeout: How long an attempt may take, all in all.
        authorities: Certificates of authorities (PEM) that are trusted beside the public ones.
    """

    def __init__(self, rules: Rules, *, timeout: timedelta = TIMEOUT, authorities: Path | None = None) -> None:
        self._rules = rules
        self._timeout = timeout.total_seconds()
        self._transport = httpx.AsyncHTTPTransport(
            verify=_trust(authorities),
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Attempt:
        """Sends a request and tells what became of it; never raises."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._send(httpx.URL(url), headers, body)
        except TimeoutError:
            return Attempt(None, f"no answer within {self._timeout:g} s")
        except NotAllowed as error:
            return Attempt(None, str(error))
        except httpx.RemoteProtocolError:  # its text repeats what was answered
            return Attempt(None, "the answer is no HTTP, or none that ends as it should")
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            return Attempt(None, one_line(str(error)) or type(error).__name__)

    async def _send(self, url: httpx.URL, headers: Mapping[str, str], body: bytes) -> Attempt:
        if url.scheme != "https" and not self._rules.http:  # allowed once, and no longer
            raise NotAllowed("the URL does not begin with https://")
        unreachable: httpx.HTTPError | None = None
        for address in await resolve(url, self._rules):
            try:
                return await self._ask(url, address, headers, body)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:  # nothing was sent: another one may be there
                unreachable = error
        raise unreachable or NotAllowed("the host has no address")

    async def _ask(self, url: httpx.URL, address: Address, headers: Mapping[str, str], body: bytes) -> Attempt:
        request = httpx.Request(
            "POST",
            url.copy_with(host=str(address)),
            headers={
                "host": url.netloc.decode("ascii"),
                "content-type": "application/json",
                "accept-encoding": "identity",
                "user-agent": f"Zoco-Webhooks/{VERSION}",
                "connection": "close",
                **headers,
            },
            content=body,
            # The certificate must be of the name that the URL has, whatever address was found for it.
            extensions={
                "sni_hostname": url.raw_host.decode("ascii").strip("[]"),
                "timeout": httpx.Timeout(self._timeout, connect=self._timeout / _CONNECTS).as_dict(),
            },
        )
        response = await self._transport.handle_async_request(request)
        await response.aclose()  # what it says besides its status is not read
        return _judged(response)


def _judged(response: httpx.Response) -> Attempt:
    status = response.status_code
    if response.is_success:
        return Attempt(status)
    if response.is_redirect or response.has_redirect_location:
        return Attempt(status, f"answered {status}: redirects are not followed")
    return Attempt(status, f"answered {status}", _wish(response.headers.get("retry-after", "")))


def _wish(value: str) -> timedelta | None:
    if not (value.isascii() and value.isdigit()):  # a date is allowed too (RFC 9110, 10.2.3), and not worth trusting
        return None
    return min(timedelta(seconds=int(value[:9])), LONGEST_WISH)


def _trust(authorities: Path | None) -> ssl.SSLContext:
    context = httpx.create_ssl_context(trust_env=False)
    if authorities is not None:
        context.load_verify_locations(cafile=authorities)
    return context
