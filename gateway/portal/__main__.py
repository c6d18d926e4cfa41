"""`python -m gateway.portal`: settings, logs, and then the process."""

import sys

import uvloop

from gateway.portal.process import serve
from gateway.portal.settings import PortalSettings
from mesh.logs import configure_logs
from mesh.settings import load_settings
from mesh.wellknown import PORTAL


def main() -> int:
    """Run the portal.

    Returns:
        The exit code: 1 if it cannot start, 2 if its settings are wrong.
    """
    settings = load_settings(PortalSettings)
    configure_logs(settings, PORTAL)
    return uvloop.run(serve(settings))


if __name__ == "__main__":
    sys.exit(main())
