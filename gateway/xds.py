"""Envoy's configuration as plain data: the few shapes that repeat everywhere."""

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from gateway.runtime import Address  # which knows files of identities, which are made of the shapes here

Message: TypeAlias = dict[str, Any]
"""An xDS message in its JSON form, with snake_case names."""


def typed(message: str, **fields: Any) -> Message:
    """Give a google.protobuf.Any.

    Args:
        message: full name of the xDS message, as `envoy.extensions.filters.http.router.v3.Router`.
        **fields: what is in it.
    """
    return {"@type": f"type.googleapis.com/{message}", **fields}


def extension(name: str, message: str, **fields: Any) -> Message:
    """Give a TypedExtensionConfig, or any message that has a `name` and a `typed_config`."""
    return {"name": name, "typed_config": typed(message, **fields)}


def resting(filter_config: Message) -> Message:
    """Give a filter that does nothing but where a route has it `awake`."""
    return {**filter_config, "disabled": True}


def awake(name: str) -> Message:
    """Give what a route says, in its `typed_per_filter_config`, to have a filter that rests elsewhere."""
    return {name: typed("envoy.config.route.v3.FilterConfig", config={}, disabled=False)}


def socket_address(address: "Address") -> Message:
    """Give a core.v3.Address."""
    return {"socket_address": {"address": address.host, "port_value": address.port}}


def header_is(name: str, value: str) -> Message:
    """Give a HeaderMatcher for one exact value."""
    return {"name": name, "string_match": {"exact": value}}
