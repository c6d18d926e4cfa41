"""Between the contract and the domain: messages, events, and the errors that broken rules become."""

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, assert_never

from google.protobuf.message import Message

from mesh.errors import FieldViolation, InvalidArgument
from mesh.wire import money_to_proto, timestamp_to_proto
from services.product import rules
from services.product.domain import Archived, Category, Created, Event, Facts, PriceChanged, Product, Updated
from services.product.importing import Result, Row, rejected
from services.product.listing import Filter
from services.product.rules import OtherCurrency, RuleBroken
from zoco.product.v1 import product_events_pb2 as events
from zoco.product.v1 import product_pb2
from zoco.product.v1 import product_service_pb2 as service

FIELDS: Final = frozenset({"name", "description", "price", "category_id", "image_url", "attributes"})
"""What an administrator says about a product, as the contract spells it."""

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

# Where a request has what a catalog file has in a column of that name.
_PATHS: Final = {"stock": "initial_stock", "currency": "product.price.currency_code"}


def product_to_proto(product: Product) -> product_pb2.Product:
    """Renders a product."""
    facts = product.facts
    return product_pb2.Product(
        id=product.id,
        name=facts.name,
        description=facts.description,
        price=money_to_proto(facts.price),
        category_id=facts.category_id,
        image_url=facts.image_url,
        attributes=facts.attributes,
        available_quantity=product.available,
        state=product_pb2.Product.State.Value(product.state.value),
        create_time=timestamp_to_proto(product.create_time),
        update_time=timestamp_to_proto(product.update_time),
        etag=product.etag,
    )


def category_to_proto(category: Category) -> product_pb2.Category:
    """Renders a category."""
    return product_pb2.Category(
        id=category.id,
        name=category.name,
        description=category.description,
        create_time=timestamp_to_proto(category.create_time),
    )


def event_to_proto(event: Event) -> Message:
    """An event as other services see it."""
    match event:
        case Created(product, initial_stock):
            return events.ProductCreated(product=product_to_proto(product), initial_stock=initial_stock)
        case Updated(product):
            return events.ProductUpdated(product=product_to_proto(product))
        case PriceChanged(product, old_price):
            return events.ProductPriceChanged(
                product_id=product.id,
                old_price=money_to_proto(old_price),
                new_price=money_to_proto(product.facts.price),
            )
        case Archived(product):
            return events.ProductArchived(product_id=product.id)
        case _:
            assert_never(event)


def result_to_proto(result: Result) -> service.ImportResult:
    """Renders what became of a row."""
    return service.ImportResult(
        line=result.line,
        outcome=service.ImportResult.Outcome.Value(result.outcome.value),
        product_id=result.product_id,
        field=result.field,
        reason=result.reason,
    )


def canonical(value: str) -> str:
    """The canonical form of a UUID that validation has let through; hexadecimal digits may come in capitals."""
    return value.lower()


def facts_from_proto(message: product_pb2.Product, *, currency: str) -> Facts:
    """Reads all that an administrator says about a product.

    Raises:
        InvalidArgument: INVALID_FIELD with a violation a field, or CURRENCY_MISMATCH.
    """
    return Facts(**fields_from_proto(message, FIELDS, currency=currency))


def fields_from_proto(message: product_pb2.Product, names: Collection[str], *, currency: str) -> dict[str, Any]:
    """Reads some fields of a product, by the names of Facts.

    Raises:
        InvalidArgument: INVALID_FIELD with a violation a field, or CURRENCY_MISMATCH.
    """
    read: dict[str, Callable[[], Any]] = {
        "name": lambda: rules.title("name", message.name, rules.LONGEST_NAME),
        "description": lambda: _description(message.description),
        "price": lambda: _price(message, currency),
        "category_id": lambda: _category_id(message.category_id),
        "image_url": lambda: rules.image_url(message.image_url),
        "attributes": lambda: rules.attributes(message.attributes),
    }
    values: dict[str, Any] = {}
    broken: list[RuleBroken] = []
    for name in sorted(names):
        try:
            values[name] = read[name]()
        except RuleBroken as rule:
            broken.append(rule)
    if broken:
        raise refused(broken)
    return values


def row_from_proto(message: service.ImportRow, *, currency: str) -> Row | Result:
    """Reads a row of a catalog file, or says which rule it breaks first."""
    try:
        return Row(
            line=message.line,
            name=rules.title("name", message.name, rules.LONGEST_NAME),
            description=_description(message.description),
            price=_price(message, currency),
            category=rules.title("category", message.category, rules.LONGEST_CATEGORY),
            initial_stock=rules.stock(message.initial_stock),
            image_url=rules.image_url(message.image_url),
            attributes=rules.attributes(message.attributes),
        )
    except RuleBroken as rule:
        return rejected(message.line, rule.field, rule.reason)


def filter_from_proto(request: service.ListProductsRequest, *, currency: str) -> Filter:
    """Reads which products are asked for.

    Raises:
        InvalidArgument: INVALID_FIELD: a price that the currency cannot have, bounds that exclude each other, or a NUL
            character in the words.
    """
    try:
        query = rules.text("query", request.query.strip(), rules.LONGEST_QUERY)
        lowest, highest = rules.price_range(request.min_price, request.max_price, currency=currency)
    except RuleBroken as rule:
        raise refused([rule], within="") from rule
    return Filter(
        query=query,
        category_id=canonical(request.category_id),
        min_price=lowest,
        max_price=highest,
    )


def refused(broken: Sequence[RuleBroken], *, within: str = "product") -> InvalidArgument:
    """The error for rules that a request breaks; `within` is the field that holds those at fault."""
    violations = [FieldViolation(_path(rule.field, within), rule.reason) for rule in broken]
    message = "; ".join(f"{each.field} {each.description}" for each in violations)
    match list(broken):
        case [OtherCurrency(currency=currency)]:
            return InvalidArgument(
                "CURRENCY_MISMATCH", message, metadata={"currency": currency}, field_violations=violations
            )
        case _:
            return InvalidArgument("INVALID_FIELD", message, field_violations=violations)


def _path(field: str, within: str) -> str:
    return _PATHS.get(field) or (f"{within}.{field}" if within else field)


def _description(value: str) -> str:
    return rules.text("description", value.strip(), rules.LONGEST_DESCRIPTION)


def _price(message: product_pb2.Product | service.ImportRow, currency: str) -> Any:
    price = message.price
    return rules.price(price.currency_code, price.units, price.nanos, shop_currency=currency)


def _category_id(value: str) -> str:
    if not value:
        raise RuleBroken("category_id", "is missing")
    if not _UUID.fullmatch(value):
        raise RuleBroken("category_id", "is not a UUID")
    return canonical(value)
