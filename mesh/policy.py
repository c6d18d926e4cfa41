"""The policy model: every contract's options as typed, frozen data, read from the descriptor set.

One model serves all that enforce or show it: the pipeline asks it per method, the emitters of `make gen` walk it whole.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Final

from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2

from zoco.mesh.v1 import policy_pb2

DESCRIPTORS: Final = Path(__file__).parent.parent / "generated" / "descriptors.binpb"
"""The committed descriptor set."""


class PolicyError(Exception):
    """A contract that leaves out or contradicts what every contract must say. Names the RPC and the remedy."""


class Audience(Enum):
    """Who may reach an RPC from outside the mesh."""

    NONE = policy_pb2.EDGE_AUDIENCE_NONE
    PUBLIC = policy_pb2.EDGE_AUDIENCE_PUBLIC
    USER = policy_pb2.EDGE_AUDIENCE_USER
    ADMIN = policy_pb2.EDGE_AUDIENCE_ADMIN


class LimitKey(Enum):
    """What a rate limit counts by."""

    GLOBAL = policy_pb2.RATE_LIMIT_KEY_GLOBAL
    IP = policy_pb2.RATE_LIMIT_KEY_IP
    SUBJECT = policy_pb2.RATE_LIMIT_KEY_SUBJECT


@dataclass(frozen=True)
class Retry:
    """How a caller may repeat a failed call."""

    max_attempts: int
    codes: tuple[str, ...]


@dataclass(frozen=True)
class RateLimit:
    """Requests per duration, by key."""

    by: LimitKey
    requests: int
    per: timedelta
    tier: str


@dataclass(frozen=True)
class Slo:
    """What is promised about an RPC over 30 days."""

    availability: float
    latency: timedelta
    latency_share: float


@dataclass(frozen=True)
class HttpRoute:
    """One REST rule of an RPC (google.api.http)."""

    verb: str
    """`GET`, `POST`, `PUT`, `PATCH` or `DELETE`."""
    path: str
    """The path template, such as `/v1/orders/{id}:cancel`."""
    body: str
    """The request field that is the body, `*` for the whole message, empty for none."""
    response_body: str = ""


@dataclass(frozen=True)
class MethodPolicy:
    """Everything a contract says about one RPC."""

    service: str
    """Full name, such as `zoco.order.v1.OrderService`."""
    name: str
    """Such as `CreateOrder`."""
    workload: str
    """Which process serves it."""
    request_type: str
    response_type: str
    client_streaming: bool
    server_streaming: bool
    audience: Audience
    callers: frozenset[str]
    deadline: timedelta
    owner_field: str = ""
    retry: Retry | None = None
    keyed: bool = False
    side_effect_free: bool = False
    idempotent: bool = False
    """Declared IDEMPOTENT or NO_SIDE_EFFECTS: repeating it changes nothing more."""
    rate_limits: tuple[RateLimit, ...] = ()
    cache_ttl: timedelta | None = None
    slo: Slo | None = None
    calls: tuple[str, ...] = ()
    token_keys: bool = False
    routes: tuple[HttpRoute, ...] = ()

    @property
    def path(self) -> str:
        """The gRPC path, such as `/zoco.order.v1.OrderService/CreateOrder`."""
        return f"/{self.service}/{self.name}"

    @property
    def verifies_tokens(self) -> bool:
        """Whether an access token that comes along is verified: by all but the internal ones."""
        return self.audience is not Audience.NONE

    @property
    def public_read(self) -> bool:
        """Whether anybody may call it, and nothing is changed: what a shop is asked for most."""
        return self.audience is Audience.PUBLIC and self.side_effect_free

    @property
    def needs_user(self) -> bool:
        """Whether an external caller must show an access token."""
        return self.audience in (Audience.USER, Audience.ADMIN)


@dataclass(frozen=True)
class Workload:
    """A process of the catalog: what it serves and what it calls on its own account."""

    name: str
    services: tuple[str, ...]
    calls: tuple[str, ...]


@dataclass(frozen=True)
class Policy:
    """The whole policy: methods by gRPC path, workloads by name."""

    methods: Mapping[str, MethodPolicy]
    workloads: Mapping[str, Workload]
    token_keys: MethodPolicy | None = field(default=None)
    """The RPC whose answer verifies access tokens."""
    clients: Mapping[str, Workload] = field(default_factory=dict)
    """Who has an identity and serves no contract, such as the edge; by name."""

    def of_workload(self, workload: str) -> Iterator[MethodPolicy]:
        """The methods that a workload serves."""
        return (method for method in self.methods.values() if method.workload == workload)

    def verifies_tokens(self, workload: str) -> bool:
        """Whether a workload serves people, so that it must know the keys of tokens and whose tokens have ended."""
        return any(method.verifies_tokens for method in self.of_workload(workload))

    def calls_of(self, workload: str) -> frozenset[str]:
        """The gRPC paths that a workload or client calls: what it declares, and where needed the token keys."""
        own = self.workloads.get(workload) or self.clients.get(workload)
        declared = set(own.calls) if own else set()
        for method in self.of_workload(workload):
            declared.update(method.calls)
        paths = {f"/{name}" for name in declared}
        keys = self.token_keys
        if keys and keys.workload != workload and self.verifies_tokens(workload):
            paths.add(keys.path)
        return frozenset(paths)


def load_policy(path: Path = DESCRIPTORS) -> Policy:
    """The policy that a descriptor set holds; for the committed one it comes out of the generated table, unparsed.

    Raises:
        PolicyError: A contract leaves out what every contract must say.
        OSError: The file cannot be read.
    """
    if path == DESCRIPTORS:
        from zoco.mesh.policy_table import policy  # noqa: PLC0415 - it is made of the classes above

        return policy()
    return read_policy(descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()))


def read_policy(descriptors: descriptor_pb2.FileDescriptorSet, *, skip_incomplete: bool = False) -> Policy:
    """Builds the policy of all services that name a workload.

    Args:
        descriptors: The contracts with all they import.
        skip_incomplete: Leave out methods that leave something out, for whoever wants to tell of all of them.

    Raises:
        PolicyError: As `load_policy`.
    """
    methods: dict[str, MethodPolicy] = {}
    services: dict[str, list[str]] = {}
    calls: dict[str, list[str]] = {}
    clients: dict[str, Workload] = {}
    for file in descriptors.file:
        for client in file.options.Extensions[policy_pb2.mesh].clients:
            clients[client.name] = Workload(client.name, (), tuple(client.calls))
        for service in file.service:
            options = service.options.Extensions[policy_pb2.service]
            if not options.workload:
                continue
            full_name = f"{file.package}.{service.name}"
            services.setdefault(options.workload, []).append(full_name)
            calls.setdefault(options.workload, []).extend(options.calls)
            for method in service.method:
                if missing := omissions(method):
                    if skip_incomplete:
                        continue
                    raise PolicyError(f"/{full_name}/{method.name}: {missing[0]}")
                policy = _read_method(full_name, options.workload, method)
                methods[policy.path] = policy
    publishers = [method for method in methods.values() if method.token_keys]
    if len(publishers) > 1 and not skip_incomplete:
        raise PolicyError(f"{publishers[1].path}: token_keys is said twice; only one RPC gives the keys")
    workloads = {
        name: Workload(name, tuple(services[name]), tuple(dict.fromkeys(calls[name]))) for name in sorted(services)
    }
    return Policy(methods, workloads, publishers[0] if publishers else None, clients)


def omissions(method: descriptor_pb2.MethodDescriptorProto) -> tuple[str, ...]:
    """What a contract leaves out of a method that every contract must say, each as `finding; remedy`."""
    options = method.options.Extensions[policy_pb2.method]
    if not options.ByteSize():
        return ("no policy; add option (zoco.mesh.v1.method)",)
    missing = []
    if options.access.edge == policy_pb2.EDGE_AUDIENCE_UNSPECIFIED:
        missing.append("no audience; say access.edge, there is no default")
    if not options.HasField("deadline"):
        missing.append("no deadline; say how long a call may take")
    for limit in options.rate_limit:
        if not (limit.by and limit.requests and limit.per.ToTimedelta() and limit.tier):
            missing.append("half a rate_limit; say by, requests, per and tier")
            break
    return tuple(missing)


def _read_method(service: str, workload: str, method: descriptor_pb2.MethodDescriptorProto) -> MethodPolicy:
    options = method.options.Extensions[policy_pb2.method]
    level = method.options.idempotency_level
    side_effect_free = level == descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS
    return MethodPolicy(
        service=service,
        name=method.name,
        workload=workload,
        request_type=method.input_type.lstrip("."),
        response_type=method.output_type.lstrip("."),
        client_streaming=method.client_streaming,
        server_streaming=method.server_streaming,
        audience=Audience(options.access.edge),
        callers=frozenset(options.access.callers),
        deadline=options.deadline.ToTimedelta(),
        owner_field=options.access.owner_field,
        retry=Retry(options.retry.max_attempts, tuple(options.retry.codes)) if options.HasField("retry") else None,
        keyed=options.idempotency == policy_pb2.IDEMPOTENCY_KEYED,
        side_effect_free=side_effect_free,
        idempotent=side_effect_free or level == descriptor_pb2.MethodOptions.IDEMPOTENT,
        rate_limits=tuple(
            RateLimit(LimitKey(limit.by), limit.requests, limit.per.ToTimedelta(), limit.tier)
            for limit in options.rate_limit
        ),
        cache_ttl=options.cache_ttl.ToTimedelta() if options.HasField("cache_ttl") else None,
        slo=Slo(options.slo.availability, options.slo.latency.ToTimedelta(), options.slo.latency_share)
        if options.HasField("slo")
        else None,
        calls=tuple(options.calls),
        token_keys=options.token_keys,
        routes=tuple(_routes(method.options.Extensions[annotations_pb2.http])),
    )


def _routes(rule: http_pb2.HttpRule) -> Iterator[HttpRoute]:
    verb = rule.WhichOneof("pattern")
    if verb and verb != "custom":
        yield HttpRoute(verb.upper(), getattr(rule, verb), rule.body, rule.response_body)
    for additional in rule.additional_bindings:
        yield from _routes(additional)
