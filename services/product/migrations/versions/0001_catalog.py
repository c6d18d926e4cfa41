"""Categories, products with what finds them, and what inventory says of them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR

from mesh.data.migrations import create_mesh_tables

revision = "0001"
down_revision = None

# As services/product/search.py had it when this revision was written.
_ACCENTED = "àáâãäåçèéêëìíîïñòóôõöùúûüýÿāăąćčďęěğīńňőřśşšťůűųźżžÀÁÂÃÄÅÇÈÉÊËÌÍÎÏÑÒÓÔÕÖÙÚÛÜÝŸĀĂĄĆČĎĘĚĞĪŃŇŐŘŚŞŠŤŮŰŲŹŻŽ"
_PLAIN = "aaaaaaceeeeiiiinooooouuuuyyaaaccdeeginnorssstuuuzzzAAAAAACEEEEIIIINOOOOOUUUUYYAAACCDEEGINNORSSSTUUUZZZ"


def _plain(expression: str) -> str:
    translated = f"translate({expression}, '{_ACCENTED}', '{_PLAIN}')"
    return f"CASE WHEN octet_length({expression}) = char_length({expression}) THEN {expression} ELSE {translated} END"


_SEARCH = f"""
setweight(to_tsvector('english', {_plain("name")}), 'A')
|| '|\\:1'::tsvector || setweight(to_tsvector('english', {_plain("description")}), 'B')
|| '|\\:1'::tsvector
|| setweight(jsonb_to_tsvector('english', ({_plain("attributes::text")})::jsonb, '["string"]'), 'C')
|| '|\\:1'::tsvector || setweight(to_tsvector('simple', {_plain("name")}), 'D')
"""


def upgrade() -> None:
    create_mesh_tables(op)
    op.create_table(
        "category",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("name_key", sa.Text, nullable=False, unique=True, comment="the name without regard to case"),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "product",
        sa.Column("id", sa.Uuid, primary_key=True, comment="UUIDv7: sorts by the time a product was made"),
        sa.Column("category_id", sa.Uuid, sa.ForeignKey("category.id", name="product_in_category"), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column(
            "name_key", sa.Text, nullable=False, comment="the name without regard to case: what an import knows it by"
        ),
        sa.Column(
            "sort_key", sa.Text, nullable=False, comment="the name without case and accents: what lists are ordered by"
        ),
        sa.Column("twin", sa.Uuid, nullable=False, comment="nil if an import gave it this name, else its own id"),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("price", sa.BigInteger, nullable=False, comment="minor units"),
        sa.Column("currency", sa.Text, nullable=False, comment="ISO 4217"),
        sa.Column("image_url", sa.Text, nullable=False),
        sa.Column("attributes", JSONB, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("search", TSVECTOR, sa.Computed(_SEARCH, persisted=True), nullable=False),
        sa.CheckConstraint("price > 0", name="product_costs_something"),
        sa.CheckConstraint("state IN ('ACTIVE', 'ARCHIVED')", name="product_state_known"),
        sa.UniqueConstraint("category_id", "name_key", "twin", name="product_import_key"),
    )
    on_sale = sa.text("state = 'ACTIVE'")
    op.create_index("product_by_name", "product", ["sort_key", "id"], postgresql_where=on_sale)
    op.create_index("product_by_price", "product", ["price", "id"], postgresql_where=on_sale)
    op.create_index("product_by_category", "product", ["category_id", "id"], postgresql_where=on_sale)
    op.create_index("product_by_words", "product", ["search"], postgresql_using="gin", postgresql_where=on_sale)
    op.create_table(
        "availability",
        sa.Column("product_id", sa.Uuid, primary_key=True),
        sa.Column("available", sa.Integer, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False, comment="of the stock: an older event changes nothing"),
        comment="fed by inventory's events; apart from the product, so that a sale is no change of it",
        # Updated with each sale: with room on its page, no index has to learn of it.
        postgresql_with={"fillfactor": 70},
    )


def downgrade() -> None:
    for table in ("availability", "product", "category"):
        op.drop_table(table)
