"""Loading a catalog file into the shop: `zoco import`, and the same as a function."""

from cli.catalog_import.importing import IN_FLIGHT, Progress, import_catalog
from cli.catalog_import.report import ImportReport, Rejection, ShopUnreachable, UnreadableFile

__all__ = ["IN_FLIGHT", "ImportReport", "Progress", "Rejection", "ShopUnreachable", "UnreadableFile", "import_catalog"]
