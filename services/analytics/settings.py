"""What analytics is told at start, beyond what every service is."""

from pydantic import Field, field_validator

from mesh.money import exponent
from mesh.settings import MeshSettings


class AnalyticsSettings(MeshSettings):
    """Settings of analytics."""

    currency: str = Field("EUR", validation_alias="ZOCO_CURRENCY")
    """The currency the shop trades in (ISO 4217). Reports are of its orders; others are kept and not reported."""

    @field_validator("currency")
    @classmethod
    def _is_a_currency(cls, value: str) -> str:
        exponent(value)
        return value
