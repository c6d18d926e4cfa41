"""What the portal is told at start, beyond what every process of the mesh is told."""

from pydantic import Field

from mesh.settings import MeshSettings


class PortalSettings(MeshSettings):
    """Settings of the portal."""

    page_listen: str = Field("127.0.0.1:9109", validation_alias="ZOCO_PORTAL_HTTP_LISTEN")
    """Address of the HTTP server; it speaks mTLS, as everything inside does."""
