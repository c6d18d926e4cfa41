"""The operation that is no RPC's: the health of the whole system, which the portal tells."""

from http import HTTPStatus

from gateway.openapi.constraints import Schema
from gateway.openapi.errors import REQUEST_ID, error_response
from gateway.portal.system import State


def health_operation() -> Schema:
    """Give the operation of `GET /healthz`."""
    state = {"type": "string", "enum": [each.value for each in State]}
    service = {
        "type": "object",
        "properties": {
            "service": {"type": "string", "description": "Its name."},
            "state": state,
            "reason": {"type": "string", "description": "Why it is not SERVING, where it is not."},
            "version": {"type": "string", "description": "What runs."},
            "uptimeSeconds": {"type": ["number", "null"], "description": "For how long."},
        },
        "required": ["service", "state", "reason", "version", "uptimeSeconds"],
    }
    health = {
        "type": "object",
        "properties": {"status": state, "services": {"type": "array", "items": service}},
        "required": ["status", "services"],
    }

    def answer(text: str) -> Schema:
        return {"description": text, "headers": REQUEST_ID, "content": {"application/json": {"schema": health}}}

    return {
        "operationId": "getHealth",
        "tags": ["System"],
        "summary": "How the system is.",
        "description": "For anybody. Never cached.",
        "responses": {
            "200": answer("It serves, all of it or nearly."),
            "429": error_response(HTTPStatus.TOO_MANY_REQUESTS, "- `RATE_LIMITED`: asked too often from one address."),
            "503": answer("It does not."),
        },
        "security": [{}],
    }
