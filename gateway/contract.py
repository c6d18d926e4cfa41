"""What the edge needs of the contract beyond the policy model: what is exposed, and which bodies are not JSON."""

from collections.abc import Iterable
from dataclasses import dataclass

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from mesh.policy import Audience, HttpRoute, MethodPolicy, Policy, read_policy


class ContractError(Exception):
    """A contract says something the edge cannot serve. The text is one sentence that names the RPC."""


@dataclass(frozen=True)
class Surface:
    """What clients outside the mesh can reach.

    Attributes:
        methods: whose audience is PUBLIC, USER or ADMIN, by gRPC path.
        raw_bodies: (message, field) of every field that takes a body of any type as it comes (google.api.HttpBody).
        keys: the RPC whose answer verifies access tokens.
        keys_route: the REST rule of that RPC.
    """

    methods: tuple[MethodPolicy, ...]
    raw_bodies: frozenset[tuple[str, str]]
    keys: MethodPolicy
    keys_route: HttpRoute

    @property
    def workloads(self) -> frozenset[str]:
        """The processes that serve it."""
        return frozenset(method.workload for method in self.methods)

    def takes_json(self, method: MethodPolicy, route: HttpRoute) -> bool:
        """Whether a request by this route has a body, and the body is JSON."""
        return bool(route.body) and (method.request_type, route.body) not in self.raw_bodies


def read_surface(descriptors: FileDescriptorSet) -> Surface:
    """Read what the contract exposes. That what it says makes sense is the lints' business (`mesh.compiler.lints`).

    Args:
        descriptors: the contracts with all they import.

    Raises:
        ContractError: nobody says where the keys are that verify tokens.
        PolicyError: a contract leaves out what every contract must say.
    """
    policy = read_policy(descriptors)
    methods = sorted(policy.methods.values(), key=lambda method: method.path)
    exposed = tuple(method for method in methods if method.audience is not Audience.NONE)
    keys, route = _keys(policy)
    return Surface(exposed, frozenset(_raw_bodies(descriptors)), keys, route)


def _keys(policy: Policy) -> tuple[MethodPolicy, HttpRoute]:
    if policy.token_keys is None:
        raise ContractError("No RPC says token_keys, so the edge could verify no access token; one of them must.")
    for route in policy.token_keys.routes:
        if route.verb == "GET" and "{" not in route.path:
            return policy.token_keys, route
    raise ContractError(f"{policy.token_keys.path}: it says token_keys, but has no REST rule `get` of a fixed path.")


def _raw_bodies(descriptors: FileDescriptorSet) -> Iterable[tuple[str, str]]:
    return (
        (f"{file.package}.{message.name}", field.name)
        for file in descriptors.file
        for message in file.message_type
        for field in message.field
        if field.type_name == ".google.api.HttpBody"
    )
