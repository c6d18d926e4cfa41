"""Updates: field masks as AIP-134 has them, and etags as AIP-154 does."""

from typing import Any, Final

from tests.conformance.case import Case, Request, Step, case, get, patch, post, steps
from tests.conformance.expectations import invalid, ok, refused
from tests.conformance.patterns import Text
from tests.conformance.sources import aip, contract

_MASK: Final = aip(134, "Field mask")
_PATH: Final = "/v1/products/$scratch"


def _update(body: Any, mask: str | None = None) -> Request:
    return patch(_PATH if mask is None else f"{_PATH}?updateMask={mask}", "admin", body)


_BEFORE: Final = Step(
    _update({"description": "Before.", "imageUrl": "https://a.example/b.png", "attributes": {"a": "b"}}),
    ok({"description": "Before.", "imageUrl": "https://a.example/b.png", "attributes": {"a": "b"}}),
    {"etag": "etag"},
)

CASES: Final[list[Case]] = [
    steps(
        "Update gives the resource as it is now",
        aip(134, "Guidance: the response is the resource"),
        _BEFORE,
        Step(_update({"description": "Now."}), ok({"id": "$scratch", "description": "Now."})),
    ),
    steps(
        "without a mask the fields that are given change, and no other",
        _MASK,
        _BEFORE,
        Step(_update({"description": "Now."}), ok({"description": "Now.", "imageUrl": "https://a.example/b.png"})),
    ),
    steps(
        "without a mask an empty field is not given",
        _MASK,
        _BEFORE,
        Step(_update({"imageUrl": ""}), ok({"imageUrl": "https://a.example/b.png"})),
    ),
    steps(
        "a mask names what changes: a field beside it does not",
        _MASK,
        _BEFORE,
        Step(
            _update({"description": "Now.", "imageUrl": "https://c.example/d.png"}, "description"),
            ok({"description": "Now.", "imageUrl": "https://a.example/b.png"}),
        ),
    ),
    steps(
        "a mask clears what it names and the body does not have",
        _MASK,
        _BEFORE,
        Step(_update({}, "imageUrl"), ok({"imageUrl": "", "description": "Before."})),
    ),
    steps("a mask clears a map", _MASK, _BEFORE, Step(_update({}, "attributes"), ok({"attributes": {}}))),
    steps(
        "a map is replaced as a whole",
        aip(161, "map fields"),
        _BEFORE,
        Step(_update({"attributes": {"c": "d"}}, "attributes"), ok({"attributes": {"c": "d"}})),
    ),
    case("a mask does not clear what is required", aip(203, "Required"), _update({}, "name"), invalid("product.name")),
    case(
        "a mask of a star means everything, so what is required must be there",
        aip(134, "Field mask: full replacement"),
        _update({"description": "Alone."}, "*"),
        refused(400, "INVALID_FIELD"),
    ),
    case("a mask of a field that is none is refused", _MASK, _update({}, "colour"), invalid("update_mask")),
    steps(
        "a mask may name what only goes out: it is ignored",
        aip(203, "Output only: services must ignore output only fields in update masks"),
        _BEFORE,
        Step(
            _update({"description": "Now.", "state": "ARCHIVED"}, "description,state,createTime"),
            ok({"description": "Now.", "state": "ACTIVE"}),
        ),
    ),
    steps(
        "a mask of nothing but that changes nothing",
        aip(203, "Output only"),
        _BEFORE,
        Step(
            _update({"description": "Now.", "state": "ARCHIVED"}, "state"),
            ok({"description": "Before.", "state": "ACTIVE"}),
        ),
    ),
    case(
        "a person's role is not changed by an update",
        aip(203, "Output only"),
        patch("/v1/users/me?updateMask=role,displayName", "buyer", {"role": "ADMIN", "displayName": "A Buyer"}),
        ok({"role": "CUSTOMER"}),
    ),
    steps(
        "a mask with a field twice is the same mask",
        aip(161, "order and repetition do not matter"),
        _BEFORE,
        Step(_update({"description": "Now."}, "description,description"), ok({"description": "Now."})),
    ),
    case("an empty mask is no mask", _MASK, _update({"description": "Given."}, ""), ok({"description": "Given."})),
    case(
        "Update of what is not there is 404",
        aip(134, "Errors"),
        patch("/v1/products/$unknown", "admin", {"description": "x"}),
        refused(404, "RESOURCE_NOT_FOUND"),
    ),
    case(
        "Update of what is archived is refused",
        contract("ProductService.UpdateProduct: STATE_CONFLICT"),
        patch("/v1/products/$archived", "admin", {"description": "x"}),
        refused(400, "STATE_CONFLICT"),
    ),
    case(
        "Update needs who may",
        contract("ProductService.UpdateProduct: ADMIN"),
        patch(_PATH, "buyer", {"description": "x"}),
        refused(403, "ROLE_REQUIRED"),
    ),
    steps(
        "an etag that is current is taken",
        aip(154, "etags on requests"),
        _BEFORE,
        Step(_update({"description": "Now.", "etag": "$etag"}), ok({"description": "Now."})),
    ),
    steps(
        "an etag changes with the resource",
        aip(154, "etags"),
        _BEFORE,
        Step(_update({"description": "Changed $mark."}), ok(), {"etag": "etag"}),
        Step(_update({"description": "Again.", "etag": "$etag"}), ok()),
        Step(_update({"description": "Late.", "etag": "$etag"}), refused(409, "ETAG_STALE")),
    ),
    case(
        "an etag that is stale is ABORTED",
        aip(154, "Errors: ABORTED"),
        _update({"description": "x", "etag": "no etag of ours"}),
        refused(409, "ETAG_STALE", metadata={"etag": Text(".+")}),
    ),
    case(
        "without an etag the last one wins",
        aip(154, "etags are optional"),
        _update({"description": "Last."}),
        ok({"description": "Last."}),
    ),
    steps(
        "a custom method takes an etag, too",
        contract("ArchiveProductRequest.etag"),
        Step(get(_PATH), ok()),
        Step(post(f"{_PATH}:archive", "admin", {"etag": "stale"}), refused(409, "ETAG_STALE")),
    ),
    steps(
        "an etag in the mask changes nothing",
        aip(154, "etags are the server's"),
        _BEFORE,
        Step(
            _update({"etag": "$etag", "description": "Now."}, "description,etag"),
            ok({"description": "Now.", "etag": Text(".+")}),
        ),
    ),
]
