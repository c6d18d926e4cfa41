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


def socket_address(address: "Address") -> Message:
    """Give a core.v3.Address."""
    return {"socket_address": {"address": address.host, "port_value": address.port}}


def header_is(name: str, value: str) -> Message:
    """Give a HeaderMatcher for one exact value."""
    return {"name": name, "string_match": {"exact": value}}
