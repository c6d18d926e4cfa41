"""Every method of the contract has a handler: a new RPC without one fails here, by its name."""

from importlib import import_module
from inspect import getmembers, isclass

import pytest

from mesh.policy import MethodPolicy, load_policy
from mesh.server import MissingHandler, require_handlers
from zoco.order.v1.order_service_pb2_grpc import OrderServiceServicer, add_OrderServiceServicer_to_server

METHODS = sorted(load_policy().methods.values(), key=lambda each: each.path)


@pytest.mark.parametrize("method", METHODS, ids=lambda each: each.path)
def test_a_method_has_a_handler_in_its_service(method: MethodPolicy) -> None:
    servicer_module = import_module(f"services.{method.workload}.servicer")
    base = f"{method.service.rpartition('.')[2]}Servicer"

    servicers = [
        each
        for _, each in getmembers(servicer_module, isclass)
        if base in {parent.__name__ for parent in each.__mro__[1:]}
    ]

    assert servicers, f"{servicer_module.__name__} has no servicer for {method.service}"
    assert not getattr(servicers[0], method.name).__module__.endswith("_pb2_grpc"), f"{method.path} has no handler"


def test_a_process_without_a_handler_does_not_start_and_names_it() -> None:
    order = [method for method in METHODS if method.workload == "order"]

    with pytest.raises(MissingHandler, match=r"OrderService/CancelOrder: OrderServiceServicer has no method"):
        require_handlers(order, [(add_OrderServiceServicer_to_server, OrderServiceServicer())])  # type: ignore[abstract]  # that is the point
    with pytest.raises(MissingHandler, match="add its servicer"):
        require_handlers(order, [])
