"""OpenAPI 3.1 out of the contracts: what the edge takes and answers over REST, as a document."""

from gateway.openapi.document import emit

__all__ = ["emit"]
