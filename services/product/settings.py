"""What the catalog is told at start, beyond what every service is."""

from pydantic import Field, field_validator

from mesh.money import exponent
from mesh.settings import MeshSettings


class ProductSettings(MeshSettings):
    """Settings of the catalog."""

    currency: str = Field("EUR", validation_alias="ZOCO_CURRENCY")
    """The currency the shop trades in (ISO 4217)."""

    stock_patience_seconds: float = Field(1.0, ge=0, le=4, validation_alias="ZOCO_STOCK_PATIENCE_SECONDS")
    """How long CreateProduct waits until inventory has made the first stock, before it answers all the same."""

    @field_validator("currency")
    @classmethod
    def _is_a_currency(cls, value: str) -> str:
        exponent(value)
        return value
