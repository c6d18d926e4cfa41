"""The tables of analytics: one row a fact. Rows are added and never changed."""

from typing import Final

from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, MetaData, Table, Text, Uuid

from mesh.data.tables import mesh_tables

metadata: Final = MetaData()
mesh_tables(metadata)

_moment: Final = DateTime(timezone=True)

placement = Table(
    "placement",
    metadata,
    Column("order_id", Uuid, primary_key=True),
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("place_time", _moment, nullable=False),
    comment="Orders placed",
)
Index("placement_time", placement.c.currency, placement.c.place_time, postgresql_include=["order_id"])

sale = Table(
    "sale",
    metadata,
    Column("order_id", Uuid, primary_key=True),
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("units", Integer, nullable=False),
    Column("confirm_time", _moment, nullable=False),
    comment="Orders confirmed",
)
# Holds all that a series asks for, so that a long one reads the index alone.
Index("sale_time", sale.c.currency, sale.c.confirm_time, postgresql_include=["amount", "units"])

sale_line = Table(
    "sale_line",
    metadata,
    Column("order_id", Uuid, primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("product_id", Uuid, nullable=False),
    Column("name", Text, nullable=False, comment="what the product was called when the order was placed"),
    Column("units", Integer, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("confirm_time", _moment, nullable=False),
    comment="Lines of orders confirmed",
)
Index(
    "sale_line_time",
    sale_line.c.currency,
    sale_line.c.confirm_time,
    postgresql_include=["product_id", "units", "amount"],
)
Index("sale_line_product", sale_line.c.product_id, sale_line.c.confirm_time)

refund = Table(
    "refund",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("order_id", Uuid, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("refund_time", _moment, nullable=False),
    comment="Money given back, by refunds and cancellations; an order can have many",
)
Index("refund_time", refund.c.currency, refund.c.refund_time, postgresql_include=["order_id", "amount"])

registration = Table(
    "registration",
    metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("register_time", _moment, nullable=False),
    comment="Accounts made; an id is all that is kept of a person",
)
Index("registration_time", registration.c.register_time)
