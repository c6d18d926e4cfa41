"""The tables of inventory."""

from sqlalchemy import CheckConstraint, Column, DateTime, ForeignKey, Integer, MetaData, Table, Text, Uuid, func

from mesh.data.tables import mesh_tables

metadata = MetaData()
mesh_tables(metadata)

_moment = DateTime(timezone=True)

stock = Table(
    "stock",
    metadata,
    Column("product_id", Uuid, primary_key=True),
    Column("available", Integer, nullable=False),
    Column("reserved", Integer, nullable=False),
    Column("sold", Integer, nullable=False),
    Column("received", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("update_time", _moment, nullable=False),
    CheckConstraint("available >= 0 AND reserved >= 0 AND sold >= 0", name="stock_not_negative"),
    CheckConstraint("available + reserved + sold = received", name="stock_adds_up"),
    comment="Pieces of each product; the database itself refuses a stock that is negative or does not add up",
)

hold = Table(
    "hold",
    metadata,
    Column("order_id", Uuid, primary_key=True),
    Column("state", Text, nullable=False),
    Column("update_time", _moment, nullable=False),
    CheckConstraint("state IN ('RESERVED', 'COMMITTED', 'RELEASED')", name="hold_state_known"),
    comment="How far the stock of each order is; RELEASED without lines is a tombstone",
)

reservation = Table(
    "reservation",
    metadata,
    Column("order_id", Uuid, ForeignKey("hold.order_id", name="reservation_of_hold"), primary_key=True),
    Column("product_id", Uuid, primary_key=True),
    Column("quantity", Integer, nullable=False),
    CheckConstraint("quantity > 0", name="reservation_positive"),
    comment="The lines of each order, written with its hold and never changed",
)

movement = Table(
    "movement",
    metadata,
    Column("product_id", Uuid, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("id", Uuid, nullable=False, server_default=func.uuidv7()),
    Column("kind", Text, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("order_id", Uuid),
    Column("reason", Text, nullable=False, server_default=""),
    Column("create_time", _moment, nullable=False),
    comment="Every change of a stock; those of kind ADJUSTED add up to what was received",
)
