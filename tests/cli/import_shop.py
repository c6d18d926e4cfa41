"""A shop for the import's tests: ImportProducts and AuthService on a real wire, with faults to order."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from zoco.product.v1.product_service_pb2 import ImportProductsRequest, ImportProductsResponse, ImportResult, ImportRow
from zoco.product.v1.product_service_pb2_grpc import ProductServiceServicer, add_ProductServiceServicer_to_server
from zoco.user.v1 import auth_service_pb2 as auth
from zoco.user.v1.auth_service_pb2_grpc import AuthServiceServicer, add_AuthServiceServicer_to_server

EMAIL = "admin@zoco.example"
PASSWORD = "a password of the tests"

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass
class Shop:
    """What the shop holds and saw, and what it shall do wrong."""

    address: str = ""
    products: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    logins: int = 0
    refreshes: int = 0
    logouts: int = 0
    good_tokens: set[str] = field(default_factory=set)
    token_seconds: int = 900
    seconds_a_batch: float = 0.0
    held_until_at_once: int = 0
    """Answers are held back until so many batches are here at once; then no more."""
    released: asyncio.Event = field(default_factory=asyncio.Event)
    fail_before: list[grpc.StatusCode] = field(default_factory=list)
    """Statuses of the next calls, before anything is done."""
    fail_after: list[grpc.StatusCode] = field(default_factory=list)
    """Statuses of the next calls, after the rows are in: an answer that is lost."""
    keep_products: bool = True

    def channel(self) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(self.address)

    def refresh_token(self) -> str:
        return f"refresh-{self.logins}-{self.refreshes}"

    def issue(self) -> str:
        token = f"token-{self.logins}-{self.refreshes}"
        self.good_tokens.add(token)
        return token


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


class _Products(ProductServiceServicer):
    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    async def ImportProducts(self, request: ImportProductsRequest, context: Context) -> ImportProductsResponse:
        shop = self._shop
        metadata = dict(context.invocation_metadata() or ())
        if str(metadata.get("authorization", "")).removeprefix("Bearer ") not in shop.good_tokens:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no such token")
        if shop.fail_before:
            await context.abort(shop.fail_before.pop(0), "as ordered, before")
        if not 1 <= len(request.rows) <= 1000:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "rows must be 1 to 1000")
        shop.at_once += 1
        shop.most_at_once = max(shop.most_at_once, shop.at_once)
        try:
            if shop.at_once >= shop.held_until_at_once:
                shop.released.set()
            await shop.released.wait()
            if shop.seconds_a_batch:
                await asyncio.sleep(shop.seconds_a_batch)
            shop.batches.append(len(request.rows))
            response = ImportProductsResponse(results=self._import_all(request.rows))
        finally:
            shop.at_once -= 1
        if shop.fail_after:
            await context.abort(shop.fail_after.pop(0), "as ordered, after")
        return response

    def _import_all(self, rows: Iterable[ImportRow]) -> list[ImportResult]:
        named: set[tuple[str, str]] = set()
        results = []
        for row in rows:
            key = (_folded(row.category), _folded(row.name))
            if key in named and not _fault(row):
                results.append(
                    ImportResult(line=row.line, outcome=ImportResult.REJECTED, field="name", reason="repeats a row")
                )
            else:
                results.append(self._import(row))
                named.add(key)
        return results

    def _import(self, row: ImportRow) -> ImportResult:
        fault = _fault(row)
        if fault:
            return ImportResult(line=row.line, outcome=ImportResult.REJECTED, field=fault[0], reason=fault[1])
        if not self._shop.keep_products:
            return ImportResult(line=row.line, outcome=ImportResult.CREATED, product_id="not kept")
        key = (_folded(row.category), _folded(row.name))
        content = ImportRow()
        content.CopyFrom(row)
        for name in ("line", "initial_stock", "name", "category"):
            content.ClearField(name)
        data = content.SerializeToString(deterministic=True)
        known = self._shop.products.get(key)
        if known is None:
            known = (f"product-{len(self._shop.products)}", data)
            outcome = ImportResult.CREATED
        else:
            outcome = ImportResult.UNCHANGED if known[1] == data else ImportResult.UPDATED
        self._shop.products[key] = (known[0], data)
        return ImportResult(line=row.line, outcome=outcome, product_id=known[0])


def _fault(row: ImportRow) -> tuple[str, str] | None:
    if not row.name.strip():
        return "name", "must not be empty"
    if not row.category.strip():
        return "category", "must not be empty"
    if row.price.currency_code != "EUR":
        return "currency", "must be in EUR"
    if (row.price.units, row.price.nanos) <= (0, 0):
        return "price", "must be more than zero"
    if row.initial_stock < 0:
        return "stock", "must not be negative"
    return ("name", "is not sold here") if row.name.startswith("Forbidden") else None


class _Auth(AuthServiceServicer):
    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    async def Login(self, request: auth.LoginRequest, context: Context) -> auth.LoginResponse:
        if (request.email, request.password) != (EMAIL, PASSWORD):
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "e-mail or password is wrong")
        self._shop.logins += 1
        return auth.LoginResponse(
            access_token=self._shop.issue(),
            refresh_token=self._shop.refresh_token(),
            expires_in=self._shop.token_seconds,
        )

    async def Refresh(self, request: auth.RefreshRequest, context: Context) -> auth.RefreshResponse:
        if request.refresh_token != self._shop.refresh_token():
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "spent")
        self._shop.refreshes += 1
        return auth.RefreshResponse(
            access_token=self._shop.issue(),
            refresh_token=self._shop.refresh_token(),
            expires_in=self._shop.token_seconds,
        )

    async def Logout(self, request: auth.LogoutRequest, context: Context) -> auth.LogoutResponse:
        if not request.refresh_token:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "refresh_token is required")
        self._shop.logouts += 1
        return auth.LogoutResponse()


@asynccontextmanager
async def open_shop() -> AsyncIterator[Shop]:
    """Give a shop that listens on a free port."""
    shop = Shop()
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    add_ProductServiceServicer_to_server(_Products(shop), server)  # type: ignore[abstract]
    add_AuthServiceServicer_to_server(_Auth(shop), server)  # type: ignore[abstract]
    shop.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield shop
    finally:
        await server.stop(None)
