"""What the token filter is once the keys are known: Envoy asks itself, over REST, and a script puts the keys in."""

import json
from pathlib import Path
from typing import Final

from gateway.authentication import discovered
from gateway.contract import Surface
from gateway.runtime import EdgeRuntime
from gateway.xds import Message, extension, resting, typed

DISCOVERY: Final = "envoy.filters.http.lua"

DISCOVERY_PATH: Final = "/v3/discovery:extension_configs"
"""Where Envoy asks (envoy/service/extension/v3/config_discovery.proto)."""

_SCRIPT: Final = Path(__file__).with_name("discovery.lua").read_text()

_KEYS: Final = "<keys>"
"""Where the keys go."""


def discovery(runtime: EdgeRuntime, surface: Surface) -> Message:
    """Give the filter that makes a question for the token filter one for the keys, and their answer the filter's.

    Args:
        runtime: issuer and audience.
        surface: who publishes the keys.
    """
    before, after = json.dumps(answer(runtime, _KEYS)).split(_KEYS)
    values = {"KEYS": surface.keys_route.path, "BEFORE": before, "AFTER": after}
    head = "".join(f"local {name} = [==[{value}]==]\n" for name, value in values.items())
    script = {"inline_string": head + _SCRIPT}
    return resting(extension(DISCOVERY, "envoy.extensions.filters.http.lua.v3.Lua", default_source_code=script))


def answer(runtime: EdgeRuntime, keys: str) -> Message:
    """Give what Envoy is answered.

    Args:
        runtime: issuer and audience.
        keys: a JSON Web Key Set.

    Returns:
        An envoy.service.discovery.v3.DiscoveryResponse in its JSON form.
    """
    return {"resources": [typed("envoy.config.core.v3.TypedExtensionConfig", **discovered(runtime, keys))]}
