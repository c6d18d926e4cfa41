"""Which field a request is wrong in that the transcoder cannot read: a violation, as services give them."""

from pathlib import Path
from typing import Final

from gateway.xds import Message, extension, typed

VIOLATIONS: Final = "envoy.filters.http.lua"

_SCRIPT: Final = Path(__file__).with_name("violations.lua").read_text()


def naming() -> Message:
    """Give the filter that names the field; it works only where a route has `named`."""
    config = extension(
        VIOLATIONS,
        "envoy.extensions.filters.http.lua.v3.Lua",
        default_source_code={"inline_string": _SCRIPT},
    )
    return {**config, "disabled": True}


def named() -> Message:
    """Give the route's leave to name fields."""
    return {VIOLATIONS: typed("envoy.config.route.v3.FilterConfig", config={}, disabled=False)}
