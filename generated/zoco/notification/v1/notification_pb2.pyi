import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Notification(_message.Message):
    __slots__ = ("id", "user_id", "kind", "title", "body", "order_id", "product_id", "read", "create_time", "read_time")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Notification.Kind]
        WELCOME: _ClassVar[Notification.Kind]
        ORDER_CONFIRMED: _ClassVar[Notification.Kind]
        ORDER_REJECTED: _ClassVar[Notification.Kind]
        ORDER_SHIPPED: _ClassVar[Notification.Kind]
        ORDER_CANCELLED: _ClassVar[Notification.Kind]
        ORDER_REFUNDED: _ClassVar[Notification.Kind]
        STOCK_LOW: _ClassVar[Notification.Kind]
    KIND_UNSPECIFIED: Notification.Kind
    WELCOME: Notification.Kind
    ORDER_CONFIRMED: Notification.Kind
    ORDER_REJECTED: Notification.Kind
    ORDER_SHIPPED: Notification.Kind
    ORDER_CANCELLED: Notification.Kind
    ORDER_REFUNDED: Notification.Kind
    STOCK_LOW: Notification.Kind
    ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    READ_TIME_FIELD_NUMBER: _ClassVar[int]
    id: str
    user_id: str
    kind: Notification.Kind
    title: str
    body: str
    order_id: str
    product_id: str
    read: bool
    create_time: _timestamp_pb2.Timestamp
    read_time: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., user_id: _Optional[str] = ..., kind: _Optional[_Union[Notification.Kind, str]] = ..., title: _Optional[str] = ..., body: _Optional[str] = ..., order_id: _Optional[str] = ..., product_id: _Optional[str] = ..., read: _Optional[bool] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., read_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Preferences(_message.Message):
    __slots__ = ("email_enabled", "muted_kinds", "update_time")
    EMAIL_ENABLED_FIELD_NUMBER: _ClassVar[int]
    MUTED_KINDS_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    email_enabled: bool
    muted_kinds: _containers.RepeatedScalarFieldContainer[Notification.Kind]
    update_time: _timestamp_pb2.Timestamp
    def __init__(self, email_enabled: _Optional[bool] = ..., muted_kinds: _Optional[_Iterable[_Union[Notification.Kind, str]]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
