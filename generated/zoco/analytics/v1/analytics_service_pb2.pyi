import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from zoco.analytics.v1 import report_pb2 as _report_pb2
from zoco.mesh.v1 import policy_pb2 as _policy_pb2
from zoco.mesh.v1 import stream_pb2 as _stream_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetSummaryRequest(_message.Message):
    __slots__ = ("start_time", "end_time")
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    def __init__(self, start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetSalesRequest(_message.Message):
    __slots__ = ("start_time", "end_time", "interval")
    class Interval(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        INTERVAL_UNSPECIFIED: _ClassVar[GetSalesRequest.Interval]
        HOUR: _ClassVar[GetSalesRequest.Interval]
        DAY: _ClassVar[GetSalesRequest.Interval]
        WEEK: _ClassVar[GetSalesRequest.Interval]
        MONTH: _ClassVar[GetSalesRequest.Interval]
    INTERVAL_UNSPECIFIED: GetSalesRequest.Interval
    HOUR: GetSalesRequest.Interval
    DAY: GetSalesRequest.Interval
    WEEK: GetSalesRequest.Interval
    MONTH: GetSalesRequest.Interval
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_FIELD_NUMBER: _ClassVar[int]
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    interval: GetSalesRequest.Interval
    def __init__(self, start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., interval: _Optional[_Union[GetSalesRequest.Interval, str]] = ...) -> None: ...

class GetSalesResponse(_message.Message):
    __slots__ = ("points",)
    POINTS_FIELD_NUMBER: _ClassVar[int]
    points: _containers.RepeatedCompositeFieldContainer[_report_pb2.SalesPoint]
    def __init__(self, points: _Optional[_Iterable[_Union[_report_pb2.SalesPoint, _Mapping]]] = ...) -> None: ...

class GetTopProductsRequest(_message.Message):
    __slots__ = ("start_time", "end_time", "limit", "by")
    class Measure(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        MEASURE_UNSPECIFIED: _ClassVar[GetTopProductsRequest.Measure]
        REVENUE: _ClassVar[GetTopProductsRequest.Measure]
        UNITS: _ClassVar[GetTopProductsRequest.Measure]
    MEASURE_UNSPECIFIED: GetTopProductsRequest.Measure
    REVENUE: GetTopProductsRequest.Measure
    UNITS: GetTopProductsRequest.Measure
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    limit: int
    by: GetTopProductsRequest.Measure
    def __init__(self, start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., limit: _Optional[int] = ..., by: _Optional[_Union[GetTopProductsRequest.Measure, str]] = ...) -> None: ...

class GetTopProductsResponse(_message.Message):
    __slots__ = ("products",)
    PRODUCTS_FIELD_NUMBER: _ClassVar[int]
    products: _containers.RepeatedCompositeFieldContainer[_report_pb2.ProductSales]
    def __init__(self, products: _Optional[_Iterable[_Union[_report_pb2.ProductSales, _Mapping]]] = ...) -> None: ...

class WatchSalesRequest(_message.Message):
    __slots__ = ("position",)
    POSITION_FIELD_NUMBER: _ClassVar[int]
    position: str
    def __init__(self, position: _Optional[str] = ...) -> None: ...

class WatchSalesResponse(_message.Message):
    __slots__ = ("summary", "heartbeat", "end", "position")
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    summary: _report_pb2.Summary
    heartbeat: _stream_pb2.Heartbeat
    end: _stream_pb2.StreamEnd
    position: str
    def __init__(self, summary: _Optional[_Union[_report_pb2.Summary, _Mapping]] = ..., heartbeat: _Optional[_Union[_stream_pb2.Heartbeat, _Mapping]] = ..., end: _Optional[_Union[_stream_pb2.StreamEnd, _Mapping]] = ..., position: _Optional[str] = ...) -> None: ...
