"""Where the cases come from: the specifications that bind the edge, and our own pages where those leave room."""

from typing import NamedTuple


class Source(NamedTuple):
    """A place in a document."""

    document: str
    section: str

    def __str__(self) -> str:
        return f"{self.document}, {self.section}"


def http_rule(section: str) -> Source:
    """google.api.http: https://github.com/googleapis/googleapis/blob/master/google/api/http.proto."""
    return Source("google/api/http.proto", section)


def proto3_json(section: str) -> Source:
    """ProtoJSON: https://protobuf.dev/programming-guides/json/."""
    return Source("ProtoJSON", section)


def well_known(section: str) -> Source:
    """The comments of the well-known types: src/google/protobuf/*.proto of protocolbuffers/protobuf."""
    return Source("google/protobuf", section)


def json_suite(section: str) -> Source:
    """Protobuf's conformance suite, by the names of its tests: conformance/binary_json_conformance_suite.cc."""
    return Source("protobuf conformance suite", section)


def aip(number: int, section: str) -> Source:
    """An API Improvement Proposal: https://google.aip.dev/."""
    return Source(f"AIP-{number}", section)


def rfc(number: int, section: str) -> Source:
    """An RFC: https://www.rfc-editor.org/."""
    return Source(f"RFC {number}", section)


def rpc_code(section: str) -> Source:
    """The canonical mapping of codes to HTTP: google/rpc/code.proto, and error_details.proto beside it."""
    return Source("google/rpc", section)


def html(section: str) -> Source:
    """Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html."""
    return Source("HTML", section)


def edge(section: str) -> Source:
    """What the edge promises by itself: gateway/README.md and the design of the edge."""
    return Source("the edge's design", section)


def contract(section: str) -> Source:
    """What the contracts promise: protos/, their comments and rules, and the design of the contract."""
    return Source("the contract", section)
