"""ProductService on the wire: requests into use cases, results into responses."""

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from mesh.errors import not_found
from mesh.paging import next_token, read_page
from mesh.wire import masked_fields
from services.product import rules
from services.product.app import Catalog
from services.product.listing import Order, Sorting
from services.product.wire import (
    FIELDS,
    canonical,
    category_to_proto,
    facts_from_proto,
    fields_from_proto,
    filter_from_proto,
    product_to_proto,
    refused,
    result_to_proto,
    row_from_proto,
)
from zoco.product.v1 import product_pb2
from zoco.product.v1 import product_service_pb2 as service
from zoco.product.v1.product_service_pb2_grpc import ProductServiceServicer


def _uuid(part: Any) -> str:
    return str(UUID(part))


def _text(part: Any) -> str:
    if not isinstance(part, str) or "\0" in part:
        raise ValueError("not a text that was read from the database")
    part.encode()  # half a surrogate pair, which JSON can hold, is a ValueError too
    return part


def _whole(part: Any) -> int:
    if type(part) is not int or abs(part) >= 2**63:
        raise ValueError("not a number that was read from the database")
    return part


# What the key of each order is made of, for reading page tokens.
_KEYS: Final[dict[Order, tuple[Callable[[Any], Any], ...]]] = {
    Order.NAME: (_text, _uuid),
    Order.PRICE: (_whole, _uuid),
    Order.CREATE_TIME: (_uuid,),
    Order.RANK: (_whole, _uuid),
}


class ProductServicer(ProductServiceServicer):
    """The RPCs of the catalog.

    Args:
        catalog: the use cases.
        currency: the currency the shop trades in.
    """

    def __init__(self, catalog: Catalog, *, currency: str) -> None:
        self._catalog = catalog
        self._currency = currency

    async def ListProducts(self, request: service.ListProductsRequest, context: Any) -> service.ListProductsResponse:
        """A page of the products on sale."""
        sorting = _sorting(request)
        page = read_page(request, *_KEYS[sorting.order])
        which = filter_from_proto(request, currency=self._currency)
        listed = await self._catalog.list_products(which, sorting, after=page.after, size=page.size)
        return service.ListProductsResponse(
            products=[product_to_proto(product) for product in listed.products],
            next_page_token=next_token(request, listed.last_key) if listed.last_key else "",
            total_size=listed.total,
        )

    async def GetProduct(self, request: service.GetProductRequest, context: Any) -> product_pb2.Product:
        """One product."""
        return product_to_proto(await self._catalog.get(canonical(request.id)))

    async def BatchGetProducts(
        self, request: service.BatchGetProductsRequest, context: Any
    ) -> service.BatchGetProductsResponse:
        """Several products, and which ids have none."""
        asked = list(dict.fromkeys(canonical(product_id) for product_id in request.ids))
        found = await self._catalog.find(asked)
        return service.BatchGetProductsResponse(
            products=[product_to_proto(found[product_id]) for product_id in asked if product_id in found],
            missing_ids=[product_id for product_id in asked if product_id not in found],
        )

    async def CreateProduct(self, request: service.CreateProductRequest, context: Any) -> product_pb2.Product:
        """A new product."""
        facts = facts_from_proto(request.product, currency=self._currency)
        return await self._catalog.create(facts, initial_stock=request.initial_stock)

    async def UpdateProduct(self, request: service.UpdateProductRequest, context: Any) -> product_pb2.Product:
        """Other facts of a product."""
        product = request.product
        names = masked_fields(product, request.update_mask, FIELDS)
        changes = fields_from_proto(product, names, currency=self._currency)
        try:
            product_id = _uuid(product.id)
        except ValueError:
            raise not_found("product", product.id) from None
        return product_to_proto(await self._catalog.update(product_id, changes, etag=product.etag))

    async def ArchiveProduct(self, request: service.ArchiveProductRequest, context: Any) -> product_pb2.Product:
        """A product off sale."""
        return product_to_proto(await self._catalog.archive(canonical(request.id), etag=request.etag))

    async def ImportProducts(
        self, request: service.ImportProductsRequest, context: Any
    ) -> service.ImportProductsResponse:
        """Rows of a catalog file."""
        rows = [row_from_proto(row, currency=self._currency) for row in request.rows]
        results = await self._catalog.import_rows(rows)
        return service.ImportProductsResponse(results=[result_to_proto(result) for result in results])

    async def ListCategories(
        self, request: service.ListCategoriesRequest, context: Any
    ) -> service.ListCategoriesResponse:
        """A page of categories by name."""
        page = read_page(request, _text)
        listed = await self._catalog.list_categories(after=page.after[0] if page.after else "", size=page.size)
        return service.ListCategoriesResponse(
            categories=[category_to_proto(category) for category in listed.categories],
            next_page_token=next_token(request, [listed.last_key]) if listed.last_key else "",
            total_size=listed.total,
        )

    async def CreateCategory(self, request: service.CreateCategoryRequest, context: Any) -> product_pb2.Category:
        """A new category."""
        broken: list[rules.RuleBroken] = []
        name = description = ""
        try:
            name = rules.title("name", request.category.name, rules.LONGEST_CATEGORY)
        except rules.RuleBroken as rule:
            broken.append(rule)
        try:
            description = rules.text(
                "description", request.category.description.strip(), rules.LONGEST_CATEGORY_DESCRIPTION
            )
        except rules.RuleBroken as rule:
            broken.append(rule)
        if broken:
            raise refused(broken, within="category")
        return category_to_proto(await self._catalog.create_category(name, description))


def _sorting(request: service.ListProductsRequest) -> Sorting:
    """The order asked for; without one the best match first where there is a query, else the newest."""
    name, *direction = request.order_by.split() or [""]
    if not name:
        return Sorting(Order.RANK if request.query.strip() else Order.CREATE_TIME, descending=True)
    return Sorting(Order(name), descending=direction == ["desc"])
