"""The version of the whole: said here once, read by the packaging and told by health checks."""

from typing import Final

VERSION: Final = "0.1.0"
