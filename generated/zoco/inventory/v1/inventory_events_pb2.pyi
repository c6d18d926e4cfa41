from zoco.inventory.v1 import stock_pb2 as _stock_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StockAdjusted(_message.Message):
    __slots__ = ("stock", "delta", "reason")
    STOCK_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    stock: _stock_pb2.Stock
    delta: int
    reason: str
    def __init__(self, stock: _Optional[_Union[_stock_pb2.Stock, _Mapping]] = ..., delta: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class StockReserved(_message.Message):
    __slots__ = ("stock", "order_id", "quantity")
    STOCK_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    stock: _stock_pb2.Stock
    order_id: str
    quantity: int
    def __init__(self, stock: _Optional[_Union[_stock_pb2.Stock, _Mapping]] = ..., order_id: _Optional[str] = ..., quantity: _Optional[int] = ...) -> None: ...

class StockCommitted(_message.Message):
    __slots__ = ("stock", "order_id", "quantity")
    STOCK_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    stock: _stock_pb2.Stock
    order_id: str
    quantity: int
    def __init__(self, stock: _Optional[_Union[_stock_pb2.Stock, _Mapping]] = ..., order_id: _Optional[str] = ..., quantity: _Optional[int] = ...) -> None: ...

class StockReleased(_message.Message):
    __slots__ = ("stock", "order_id", "quantity")
    STOCK_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    stock: _stock_pb2.Stock
    order_id: str
    quantity: int
    def __init__(self, stock: _Optional[_Union[_stock_pb2.Stock, _Mapping]] = ..., order_id: _Optional[str] = ..., quantity: _Optional[int] = ...) -> None: ...

class StockLow(_message.Message):
    __slots__ = ("stock", "threshold")
    STOCK_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    stock: _stock_pb2.Stock
    threshold: int
    def __init__(self, stock: _Optional[_Union[_stock_pb2.Stock, _Mapping]] = ..., threshold: _Optional[int] = ...) -> None: ...
