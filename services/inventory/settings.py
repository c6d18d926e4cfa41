"""What inventory is told at start, beyond what every service is."""

from pydantic import Field

from mesh.settings import MeshSettings


class InventorySettings(MeshSettings):
    """Settings of inventory."""

    low_stock: int = Field(5, ge=0, le=1_000_000_000, validation_alias="ZOCO_LOW_STOCK")
    """A stock is low when fewer pieces than this can be bought; 0 turns the warning off."""
