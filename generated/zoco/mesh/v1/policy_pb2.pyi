import datetime

from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EdgeAudience(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EDGE_AUDIENCE_UNSPECIFIED: _ClassVar[EdgeAudience]
    EDGE_AUDIENCE_NONE: _ClassVar[EdgeAudience]
    EDGE_AUDIENCE_PUBLIC: _ClassVar[EdgeAudience]
    EDGE_AUDIENCE_USER: _ClassVar[EdgeAudience]
    EDGE_AUDIENCE_ADMIN: _ClassVar[EdgeAudience]

class Idempotency(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IDEMPOTENCY_UNSPECIFIED: _ClassVar[Idempotency]
    IDEMPOTENCY_KEYED: _ClassVar[Idempotency]

class RateLimitKey(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RATE_LIMIT_KEY_UNSPECIFIED: _ClassVar[RateLimitKey]
    RATE_LIMIT_KEY_GLOBAL: _ClassVar[RateLimitKey]
    RATE_LIMIT_KEY_IP: _ClassVar[RateLimitKey]
    RATE_LIMIT_KEY_SUBJECT: _ClassVar[RateLimitKey]
EDGE_AUDIENCE_UNSPECIFIED: EdgeAudience
EDGE_AUDIENCE_NONE: EdgeAudience
EDGE_AUDIENCE_PUBLIC: EdgeAudience
EDGE_AUDIENCE_USER: EdgeAudience
EDGE_AUDIENCE_ADMIN: EdgeAudience
IDEMPOTENCY_UNSPECIFIED: Idempotency
IDEMPOTENCY_KEYED: Idempotency
RATE_LIMIT_KEY_UNSPECIFIED: RateLimitKey
RATE_LIMIT_KEY_GLOBAL: RateLimitKey
RATE_LIMIT_KEY_IP: RateLimitKey
RATE_LIMIT_KEY_SUBJECT: RateLimitKey
METHOD_FIELD_NUMBER: _ClassVar[int]
method: _descriptor.FieldDescriptor
SERVICE_FIELD_NUMBER: _ClassVar[int]
service: _descriptor.FieldDescriptor
SENSITIVE_FIELD_NUMBER: _ClassVar[int]
sensitive: _descriptor.FieldDescriptor

class Access(_message.Message):
    __slots__ = ("edge", "callers", "owner_field")
    EDGE_FIELD_NUMBER: _ClassVar[int]
    CALLERS_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_FIELD_NUMBER: _ClassVar[int]
    edge: EdgeAudience
    callers: _containers.RepeatedScalarFieldContainer[str]
    owner_field: str
    def __init__(self, edge: _Optional[_Union[EdgeAudience, str]] = ..., callers: _Optional[_Iterable[str]] = ..., owner_field: _Optional[str] = ...) -> None: ...

class Retry(_message.Message):
    __slots__ = ("max_attempts", "codes")
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    CODES_FIELD_NUMBER: _ClassVar[int]
    max_attempts: int
    codes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, max_attempts: _Optional[int] = ..., codes: _Optional[_Iterable[str]] = ...) -> None: ...

class RateLimit(_message.Message):
    __slots__ = ("by", "requests", "per", "tier")
    BY_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    PER_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    by: RateLimitKey
    requests: int
    per: _duration_pb2.Duration
    tier: str
    def __init__(self, by: _Optional[_Union[RateLimitKey, str]] = ..., requests: _Optional[int] = ..., per: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., tier: _Optional[str] = ...) -> None: ...

class Slo(_message.Message):
    __slots__ = ("availability", "latency", "latency_share")
    AVAILABILITY_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    LATENCY_SHARE_FIELD_NUMBER: _ClassVar[int]
    availability: float
    latency: _duration_pb2.Duration
    latency_share: float
    def __init__(self, availability: _Optional[float] = ..., latency: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., latency_share: _Optional[float] = ...) -> None: ...

class MethodPolicy(_message.Message):
    __slots__ = ("access", "deadline", "retry", "idempotency", "rate_limit", "cache_ttl", "slo", "calls", "token_keys")
    ACCESS_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    RETRY_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_FIELD_NUMBER: _ClassVar[int]
    RATE_LIMIT_FIELD_NUMBER: _ClassVar[int]
    CACHE_TTL_FIELD_NUMBER: _ClassVar[int]
    SLO_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_KEYS_FIELD_NUMBER: _ClassVar[int]
    access: Access
    deadline: _duration_pb2.Duration
    retry: Retry
    idempotency: Idempotency
    rate_limit: _containers.RepeatedCompositeFieldContainer[RateLimit]
    cache_ttl: _duration_pb2.Duration
    slo: Slo
    calls: _containers.RepeatedScalarFieldContainer[str]
    token_keys: bool
    def __init__(self, access: _Optional[_Union[Access, _Mapping]] = ..., deadline: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., retry: _Optional[_Union[Retry, _Mapping]] = ..., idempotency: _Optional[_Union[Idempotency, str]] = ..., rate_limit: _Optional[_Iterable[_Union[RateLimit, _Mapping]]] = ..., cache_ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., slo: _Optional[_Union[Slo, _Mapping]] = ..., calls: _Optional[_Iterable[str]] = ..., token_keys: _Optional[bool] = ...) -> None: ...

class ServicePolicy(_message.Message):
    __slots__ = ("workload", "calls")
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    workload: str
    calls: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, workload: _Optional[str] = ..., calls: _Optional[_Iterable[str]] = ...) -> None: ...
