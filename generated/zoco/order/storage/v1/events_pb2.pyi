from google.type import money_pb2 as _money_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OrderPlaced(_message.Message):
    __slots__ = ("order_id", "user_id", "lines")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    user_id: str
    lines: _containers.RepeatedCompositeFieldContainer[Line]
    def __init__(self, order_id: _Optional[str] = ..., user_id: _Optional[str] = ..., lines: _Optional[_Iterable[_Union[Line, _Mapping]]] = ...) -> None: ...

class Line(_message.Message):
    __slots__ = ("product_id", "name", "unit_price", "quantity")
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    UNIT_PRICE_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    product_id: str
    name: str
    unit_price: _money_pb2.Money
    quantity: int
    def __init__(self, product_id: _Optional[str] = ..., name: _Optional[str] = ..., unit_price: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., quantity: _Optional[int] = ...) -> None: ...

class StockReserved(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StockRefused(_message.Message):
    __slots__ = ("shortages",)
    SHORTAGES_FIELD_NUMBER: _ClassVar[int]
    shortages: _containers.RepeatedCompositeFieldContainer[Shortage]
    def __init__(self, shortages: _Optional[_Iterable[_Union[Shortage, _Mapping]]] = ...) -> None: ...

class Shortage(_message.Message):
    __slots__ = ("product_id", "description")
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    product_id: str
    description: str
    def __init__(self, product_id: _Optional[str] = ..., description: _Optional[str] = ...) -> None: ...

class PaymentAuthorized(_message.Message):
    __slots__ = ("payment_id",)
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    payment_id: str
    def __init__(self, payment_id: _Optional[str] = ...) -> None: ...

class PaymentDeclined(_message.Message):
    __slots__ = ("decline_reason",)
    DECLINE_REASON_FIELD_NUMBER: _ClassVar[int]
    decline_reason: str
    def __init__(self, decline_reason: _Optional[str] = ...) -> None: ...

class PaymentCaptured(_message.Message):
    __slots__ = ("amount",)
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    amount: _money_pb2.Money
    def __init__(self, amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ...) -> None: ...

class PaymentVoided(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StockCommitted(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StockReleased(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CheckoutTimedOut(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CancellationRequested(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class RefundRequested(_message.Message):
    __slots__ = ("refund_id", "number", "amount", "reason", "cause")
    class Cause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CAUSE_UNSPECIFIED: _ClassVar[RefundRequested.Cause]
        CAUSE_DECISION: _ClassVar[RefundRequested.Cause]
        CAUSE_CANCELLATION: _ClassVar[RefundRequested.Cause]
    CAUSE_UNSPECIFIED: RefundRequested.Cause
    CAUSE_DECISION: RefundRequested.Cause
    CAUSE_CANCELLATION: RefundRequested.Cause
    REFUND_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    refund_id: str
    number: int
    amount: _money_pb2.Money
    reason: str
    cause: RefundRequested.Cause
    def __init__(self, refund_id: _Optional[str] = ..., number: _Optional[int] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., reason: _Optional[str] = ..., cause: _Optional[_Union[RefundRequested.Cause, str]] = ...) -> None: ...

class RefundMade(_message.Message):
    __slots__ = ("number",)
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    number: int
    def __init__(self, number: _Optional[int] = ...) -> None: ...

class RefundRefused(_message.Message):
    __slots__ = ("number", "reason")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    number: int
    reason: str
    def __init__(self, number: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class OrderConfirmed(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class OrderRejected(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class OrderCancelled(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class OrderShipped(_message.Message):
    __slots__ = ("carrier", "tracking_number")
    CARRIER_FIELD_NUMBER: _ClassVar[int]
    TRACKING_NUMBER_FIELD_NUMBER: _ClassVar[int]
    carrier: str
    tracking_number: str
    def __init__(self, carrier: _Optional[str] = ..., tracking_number: _Optional[str] = ...) -> None: ...

class OrderDelivered(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
