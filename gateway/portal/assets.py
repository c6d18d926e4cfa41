"""What the portal shows a browser: its own pages, and the API page's parts out of a package. Nothing from elsewhere."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_OWN: Final = Path(__file__).parent / "pages"

_SWAGGER_UI: Final = "fastapi_offline"
"""The package that carries Swagger UI; its files are read, its code is not run."""

OPENAPI: Final = "/openapi.json"
"""HTTP path of the document."""

_HTML: Final = "text/html; charset=utf-8"
_CSS: Final = "text/css; charset=utf-8"
_SCRIPT: Final = "text/javascript; charset=utf-8"


@dataclass(frozen=True)
class Asset:
    """A file that is served as it is.

    Attributes:
        media_type: what it is.
        file: its name within its directory.
        package: the package in whose `static` directory it is; empty for the portal's own.
    """

    media_type: str
    file: str
    package: str = ""

    @cached_property
    def content(self) -> bytes:
        """Its bytes.

        Raises:
            OSError: it cannot be read.
        """
        return (self._directory / self.file).read_bytes()

    @property
    def _directory(self) -> Path:
        if not self.package:
            return _OWN
        found = find_spec(self.package)
        if found is None or found.origin is None:
            raise FileNotFoundError(f"the package {self.package} is not installed")
        return Path(found.origin).parent / "static"


ASSETS: Final[Mapping[str, Asset]] = {
    "/": Asset(_HTML, "index.html"),
    "/docs": Asset(_HTML, "docs.html"),
    "/status": Asset(_HTML, "status.html"),
    "/portal/portal.css": Asset(_CSS, "portal.css"),
    "/portal/portal.js": Asset(_SCRIPT, "portal.js"),
    "/portal/docs.js": Asset(_SCRIPT, "docs.js"),
    "/portal/swagger-ui.css": Asset(_CSS, "swagger-ui.css", _SWAGGER_UI),
    "/portal/swagger-ui-bundle.js": Asset(_SCRIPT, "swagger-ui-bundle.js", _SWAGGER_UI),
}
"""By HTTP path."""

PAGES: Final = (*ASSETS, OPENAPI)
"""Everything that is for a browser, beside the health: the edge lets these paths through, and no others."""


def etag(content: bytes) -> str:
    """Give the validator of some bytes (RFC 9110, 8.8.3): a weak one, for the edge compresses and drops strong ones."""
    return f'W/"{hashlib.sha256(content).hexdigest()[:32]}"'
