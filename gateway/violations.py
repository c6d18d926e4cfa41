"""Which field a request is wrong in that the transcoder cannot read: a violation, as services give them."""

from pathlib import Path
from typing import Final

from gateway.xds import Message, extension, resting

VIOLATIONS: Final = "envoy.filters.http.lua"

_SCRIPT: Final = Path(__file__).with_name("violations.lua").read_text()


def violations() -> Message:
    """Give the filter that adds them to refusals; where a route has no leave for it, they go out as they are."""
    script = {"inline_string": _SCRIPT}
    return resting(extension(VIOLATIONS, "envoy.extensions.filters.http.lua.v3.Lua", default_source_code=script))
