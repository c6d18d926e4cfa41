"""The tables of the catalog."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR

from mesh.data.tables import mesh_tables
from services.product.search import SEARCH_VECTOR

metadata = MetaData()
mesh_tables(metadata)

_ON_SALE = text("state = 'ACTIVE'")

category = Table(
    "category",
    metadata,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("name", Text, nullable=False),
    Column("name_key", Text, nullable=False, unique=True, comment="the name without regard to case"),
    Column("description", Text, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
)

product = Table(
    "product",
    metadata,
    Column("id", Uuid(as_uuid=False), primary_key=True, comment="UUIDv7: sorts by the time a product was made"),
    Column("category_id", Uuid(as_uuid=False), ForeignKey("category.id", name="product_in_category"), nullable=False),
    Column("name", Text, nullable=False),
    Column("name_key", Text, nullable=False, comment="the name without regard to case: what an import knows it by"),
    Column("sort_key", Text, nullable=False, comment="the name without case and accents: what lists are ordered by"),
    Column("twin", Uuid(as_uuid=False), nullable=False, comment="nil if an import gave it this name, else its own id"),
    Column("description", Text, nullable=False),
    Column("price", BigInteger, nullable=False, comment="minor units"),
    Column("currency", Text, nullable=False, comment="ISO 4217"),
    Column("image_url", Text, nullable=False),
    Column("attributes", JSONB, nullable=False),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    Column("search", TSVECTOR, Computed(SEARCH_VECTOR, persisted=True), nullable=False),
    CheckConstraint("price > 0", name="product_costs_something"),
    CheckConstraint("state IN ('ACTIVE', 'ARCHIVED')", name="product_state_known"),
    UniqueConstraint("category_id", "name_key", "twin", name="product_import_key"),
    Index("product_by_name", "sort_key", "id", postgresql_where=_ON_SALE),
    Index("product_by_price", "price", "id", postgresql_where=_ON_SALE),
    Index("product_by_category", "category_id", "id", postgresql_where=_ON_SALE),
    Index("product_by_words", "search", postgresql_using="gin", postgresql_where=_ON_SALE),
)

availability = Table(
    "availability",
    metadata,
    Column("product_id", Uuid(as_uuid=False), primary_key=True),
    Column("available", Integer, nullable=False),
    Column("version", BigInteger, nullable=False, comment="of the stock: an older event changes nothing"),
    comment="fed by inventory's events; apart from the product, so that a sale is no change of it",
)
