"""Rows of a catalog file: what they say, and what becomes of each. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mesh.money import Money
from services.product.domain import Facts
from services.product.rules import identity


class Outcome(StrEnum):
    """What became of a row."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    UNCHANGED = "UNCHANGED"
    REJECTED = "REJECTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row that keeps the rules."""

    line: int
    name: str
    description: str
    price: Money
    category: str
    """Name of the category."""
    initial_stock: int
    image_url: str
    attributes: Mapping[str, str]

    @property
    def identity(self) -> tuple[str, str]:
        """What makes two rows the same product: category and name, without regard to case and space."""
        return identity(self.category), identity(self.name)

    def facts(self, category_id: str) -> Facts:
        """What the row says of its product."""
        return Facts(
            name=self.name,
            description=self.description,
            price=self.price,
            category_id=category_id,
            image_url=self.image_url,
            attributes=self.attributes,
        )


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a row, and of which product; or which field broke which rule."""

    line: int
    outcome: Outcome
    product_id: str = ""
    field: str = ""
    reason: str = ""


def rejected(line: int, field: str, reason: str) -> Result:
    """The result of a row that breaks a rule."""
    return Result(line, Outcome.REJECTED, field=field, reason=reason)


def without_repeats(rows: Sequence[Row | Result]) -> list[Row | Result]:
    """The rows with those rejected that name a product which an earlier one names: two truths about one product."""
    first: dict[tuple[str, str], int] = {}
    kept: list[Row | Result] = []
    for row in rows:
        if isinstance(row, Row) and first.setdefault(row.identity, len(kept)) != len(kept):
            kept.append(rejected(row.line, "name", f"repeats line {rows[first[row.identity]].line}"))
        else:
            kept.append(row)
    return kept
