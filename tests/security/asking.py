"""Asking for what may or may not be answered."""

import grpc

from tests.journeys.conftest import Person
from tests.journeys.transports import Client, Json, Refused


async def code_of(person: Person | Client, method: str, request: Json) -> grpc.StatusCode:
    """How a call ends."""
    try:
        await person.call(method, request)
    except Refused as refused:
        return refused.code
    return grpc.StatusCode.OK
