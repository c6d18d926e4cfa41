from google.type import money_pb2 as _money_pb2
from zoco.product.v1 import product_pb2 as _product_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ProductCreated(_message.Message):
    __slots__ = ("product", "initial_stock")
    PRODUCT_FIELD_NUMBER: _ClassVar[int]
    INITIAL_STOCK_FIELD_NUMBER: _ClassVar[int]
    product: _product_pb2.Product
    initial_stock: int
    def __init__(self, product: _Optional[_Union[_product_pb2.Product, _Mapping]] = ..., initial_stock: _Optional[int] = ...) -> None: ...

class ProductUpdated(_message.Message):
    __slots__ = ("product",)
    PRODUCT_FIELD_NUMBER: _ClassVar[int]
    product: _product_pb2.Product
    def __init__(self, product: _Optional[_Union[_product_pb2.Product, _Mapping]] = ...) -> None: ...

class ProductPriceChanged(_message.Message):
    __slots__ = ("product_id", "old_price", "new_price")
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    OLD_PRICE_FIELD_NUMBER: _ClassVar[int]
    NEW_PRICE_FIELD_NUMBER: _ClassVar[int]
    product_id: str
    old_price: _money_pb2.Money
    new_price: _money_pb2.Money
    def __init__(self, product_id: _Optional[str] = ..., old_price: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., new_price: _Optional[_Union[_money_pb2.Money, _Mapping]] = ...) -> None: ...

class ProductArchived(_message.Message):
    __slots__ = ("product_id",)
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    product_id: str
    def __init__(self, product_id: _Optional[str] = ...) -> None: ...
