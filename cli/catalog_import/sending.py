"""Sending a batch until it has arrived: what is tried again, after which wait, and for how long."""

import asyncio
import random
import time
from collections.abc import Sequence

import grpc

from cli.catalog_import.report import ShopUnreachable
from cli.catalog_import.tokens import TokenSource
from mesh.errors import (
    Aborted,
    DeadlineExceeded,
    MeshError,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    from_rpc_error,
)
from zoco.product.v1.product_service_pb2 import ImportProductsRequest, ImportResult, ImportRow
from zoco.product.v1.product_service_pb2_grpc import ProductServiceStub

PATIENCE_SECONDS = 60.0
"""How long a batch is tried again: longer than a service needs to be started anew."""

_CALL_SECONDS = 30.0  # the deadline that the contract gives ImportProducts
_FIRST_WAIT_SECONDS = 0.1
_LONGEST_WAIT_SECONDS = 5.0


class BatchSender:
    """Calls ImportProducts until it has worked.

    Trying again is safe: a row is known by its category and name, so what had arrived is UNCHANGED the second time. The
    loop is our own because what to do differs by status: a token that is refused is renewed, a wait that the shop names
    is kept, and a process that restarts takes longer than the five attempts of a service config.
    """

    def __init__(
        self, channel: grpc.aio.Channel, tokens: TokenSource, *, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._products = ProductServiceStub(channel)
        self._tokens = tokens
        self._patience = patience_seconds

    async def send(self, rows: Sequence[ImportRow]) -> Sequence[ImportResult]:
        """Return what became of each row, in the order of the rows.

        Raises:
            ShopUnreachable: it could not be sent within the patience, or the shop refuses the call as a whole.
        """
        request = ImportProductsRequest(rows=rows)
        give_up_at = time.monotonic() + self._patience
        wait = _FIRST_WAIT_SECONDS
        renewed = False
        while True:
            token = ""
            try:
                token = await self._tokens.token()
                results = await self._call(request, token)
            except Unauthenticated as error:
                # Once is no failure: keys rotate, clocks differ. A token source that is refused itself gave no token.
                if renewed or not token:
                    raise unreachable(error) from None
                self._tokens.refuse(token)
                renewed = True
            except (Unavailable, DeadlineExceeded, ResourceExhausted, Aborted) as error:
                asked = error.retry_after.total_seconds() if error.retry_after else 0.0
                pause = max(asked, random.uniform(wait / 2, wait))  # noqa: S311 - spreads load, guards nothing
                if time.monotonic() + pause > give_up_at:
                    raise unreachable(error) from None
                await asyncio.sleep(pause)
                wait = min(wait * 2, _LONGEST_WAIT_SECONDS)
            except MeshError as error:
                raise unreachable(error) from None
            else:
                _check_answer(rows, results)
                return results

    async def _call(self, request: ImportProductsRequest, token: str) -> Sequence[ImportResult]:
        try:
            response = await self._products.ImportProducts(
                request, metadata=(("authorization", f"Bearer {token}"),), timeout=_CALL_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        return response.results


def unreachable(error: MeshError) -> ShopUnreachable:
    """Return the sentence for a failure that trying again did not heal."""
    match error:
        case Unavailable() | DeadlineExceeded():
            return ShopUnreachable("The shop does not answer; `zoco status` shows what runs.")
        case Unauthenticated():
            return ShopUnreachable("The shop does not take the administrator's e-mail and password.")
        case PermissionDenied():
            return ShopUnreachable(f"This account may not import a catalog, only an administrator: {error.message}.")
        case _:
            return ShopUnreachable(f"The shop refuses the import: {error}.")


def _check_answer(rows: Sequence[ImportRow], results: Sequence[ImportResult]) -> None:
    if [result.line for result in results] != [row.line for row in rows]:
        raise ShopUnreachable(
            "The shop answers for other rows than it was sent; it is not of the version of this program."
        )
