"""What is in the shop before the first case: people, products, an order. Cases name these things."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mesh.ids import uuid7
from services.payment.providers.sandbox import sign
from tests.conformance.case import Request, get, post
from tests.conformance.sending import send
from tests.journeys.conftest import PASSWORD, order_of
from tests.journeys.running import RunningShop, wait_for

STOCK: Final = 1000
REPORT: Final = b'{ "id" : "evt_\\u00e9",\n\t"type": "CAPTURED", "data": {"orderId": "%s"}, "odd": "\xc3\xa9" }  '
"""A webhook of the sandbox, in a form that nobody who parsed and printed it would give back."""
_SECRET: Final = b"sandbox-webhooks-are-not-secret"


@dataclass(frozen=True)
class World:
    """Where the edge is, and what things are called there."""

    address: tuple[str, int]
    names: Mapping[str, str]
    """Values by the name that stands for them, `$product` or, for tokens, `$token_buyer`."""


def make_world(shop: RunningShop) -> World:
    """Puts into the shop what cases need.

    Args:
        shop: It runs, and is healthy.
    """
    return World(("127.0.0.1", shop.edge_port), _Maker(shop).make())


class _Maker:
    def __init__(self, shop: RunningShop) -> None:
        self._shop = shop
        self._address = ("127.0.0.1", shop.edge_port)
        self._names: dict[str, str] = {"unknown": uuid7(), "password": PASSWORD}

    def make(self) -> Mapping[str, str]:
        """Makes everything; its names."""
        self._log_in("admin", *self._shop.admin)
        for who in ("buyer", "stranger"):
            email = f"{who}-{uuid7()}@example.com"
            self._ask(post("/v1/users", "", {"email": email, "password": PASSWORD, "displayName": "A Buyer"}))
            self._log_in(who, email, PASSWORD)
        category = self._ask(post("/v1/categories", "admin", {"name": f"Conformance {uuid7()}"}))
        self._names["category"] = category["id"]
        self._names["scratch_category"] = self._elsewhere()
        # The prices are those that the cases of lists count on.
        for number, name in enumerate(("product", "second", "third", "fourth", "fifth"), start=1):
            self._names[name] = self._put_on_sale(f"Conforming Teapot {number}", units=number * 10)
        self._names["PRODUCT"] = self._names["product"].upper()
        self._names["scratch"] = self._put_on_sale("Scratched Teapot", units=5, category="$scratch_category")
        self._names["archived"] = self._put_on_sale("Old Teapot", units=5, category="$scratch_category")
        self._ask(post("/v1/products/$archived:archive", "admin", {}))
        self._buy("order", "buyer")
        self._buy("second_order", "buyer")
        self._buy("others_order", "stranger")
        self._be_declined()
        self._report()
        return self._names

    def _be_declined(self) -> None:
        answer = send(
            self._address, post("/v1/orders", "buyer", order_of("$product", card="tok_declined")), self._names
        )
        info = next(each for each in json.loads(answer.raw)["details"] if each["@type"].endswith("ErrorInfo"))
        self._names["rejected"] = info["metadata"]["order_id"]

    def _report(self) -> None:
        stamp = int(time.time())
        body = REPORT % self._names["order"].encode()
        self._names["report_signature"] = f"t={stamp},v1={sign(_SECRET, stamp, body)}"

    def _elsewhere(self) -> str:
        return str(self._ask(get("/v1/categories?pageSize=1"))["categories"][0]["id"])

    def _log_in(self, who: str, email: str, password: str) -> None:
        session = self._ask(post("/v1/auth:login", "", {"email": email, "password": password}))
        self._names |= {f"token_{who}": session["accessToken"], who: session["user"]["id"], f"{who}_email": email}

    def _put_on_sale(self, name: str, *, units: int, category: str = "$category") -> str:
        product = {
            "name": f"{name} {uuid7()}",
            "description": "A teapot as the specifications describe it.",
            "price": {"currencyCode": "EUR", "units": str(units), "nanos": 500_000_000},
            "categoryId": category,
            "attributes": {"colour": "blue"},
        }
        made = str(self._ask(post("/v1/products", "admin", {"product": product, "initialStock": STOCK}))["id"])
        wait_for(lambda: not self._ask(get(f"/v1/stock:batchGet?productIds={made}"))["missingIds"], 30, "first stock")
        return made

    def _buy(self, name: str, who: str) -> None:
        order = self._ask(post("/v1/orders", who, order_of("$product")))
        self._names[name] = order["id"]
        path = f"/v1/orders/{order['id']}"
        wait_for(lambda: bool(self._ask(get(path, who))["state"] == "CONFIRMED"), 30, "confirmed order")
        self._names[f"{name}_payment"] = self._ask(get(path, who))["paymentId"]

    def _ask(self, request: Request) -> Any:
        answer = send(self._address, request, self._names)
        assert answer.status == 200, f"{request}: {answer}"
        return json.loads(answer.raw)
