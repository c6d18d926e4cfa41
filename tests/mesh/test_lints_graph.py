"""Lints over several methods: the call graph, and tiers of limits."""

from pathlib import Path

from mesh.tuning import load_tuning
from tests.mesh.offending import PUBLIC, READ, USER, internal, rest, rpc, said, service

SHOP = service("shop", rpc("Buy", USER))
AT = "protos/shop/v1/service.proto:13: shop.v1.ShopService/Buy: "


def test_a_method_that_nobody_outside_may_call_has_no_rest_rule(tmp_path: Path) -> None:
    stock = service("stock", rpc("Count", internal("shop"), rest("get", "/v1/count")))
    shop = service("shop", rpc("Buy", USER), calls=["stock.v1.StockService/Count"])
    assert said(tmp_path, stock, shop) == [
        (
            "protos/stock/v1/service.proto:13: stock.v1.StockService/Count: it has a REST rule, but access.edge is "
            "NONE; drop one of them [hidden-route]"
        )
    ]


def test_a_service_names_its_workload(tmp_path: Path) -> None:
    nowhere = SHOP.replace('workload: "shop"', "")
    assert said(tmp_path, nowhere) == [
        AT + "its service names no workload; say which process serves it: service.workload [incomplete]"
    ]


def test_attempts_do_not_multiply_along_a_path(tmp_path: Path) -> None:
    retried = 'retry: {max_attempts: 3 codes: "UNAVAILABLE"}'
    stock = service("stock", rpc("Count", internal("shop", more=retried), READ))
    shop = service("shop", rpc("Buy", f'{USER} {retried} calls: "stock.v1.StockService/Count"', READ))
    assert said(tmp_path, stock, shop) == [
        (
            "protos/stock/v1/service.proto:13: stock.v1.StockService/Count: one call may become 9 attempts at it "
            "(Buy 3 x Count 3); 6 is the most; let fewer of them be retried, or less often [attempts-multiply]"
        )
    ]


def test_a_callee_lets_its_caller_in(tmp_path: Path) -> None:
    stock = service("stock", rpc("Count", internal("stock2")), rpc("Take", internal("shop")))
    other = service("stock2", rpc("Do", USER), calls=["stock.v1.StockService/Count"])
    shop = service("shop", rpc("Buy", USER), calls=["stock.v1.StockService/Count", "stock.v1.StockService/Take"])
    assert said(tmp_path, stock, other, shop) == [
        (
            "protos/stock/v1/service.proto:13: stock.v1.StockService/Count: shop calls it and is not among its "
            'callers; add "shop" to access.callers [call-not-allowed]'
        )
    ]


def test_who_verifies_tokens_may_fetch_their_keys(tmp_path: Path) -> None:
    user = service("user", rpc("Keys", f"{PUBLIC} token_keys: true", READ))
    assert said(tmp_path, user, SHOP) == [
        (
            "protos/user/v1/service.proto:13: user.v1.UserService/Keys: shop calls it (to verify tokens) and is "
            'not among its callers; add "shop" to access.callers [call-not-allowed]'
        )
    ]


def test_a_caller_that_is_let_in_calls(tmp_path: Path) -> None:
    stock = service("stock", rpc("Count", internal("shop")))
    assert said(tmp_path, stock, SHOP) == [
        (
            'protos/stock/v1/service.proto:13: stock.v1.StockService/Count: access.callers lets "shop" in, which '
            "declares no call of it; drop it from the callers, or add the call to the calls of shop "
            "[caller-never-calls]"
        )
    ]


def test_a_client_of_the_mesh_is_a_caller_that_serves_nothing(tmp_path: Path) -> None:
    client = 'option (zoco.mesh.v1.mesh) = {clients: {name: "portal" calls: "stock.v1.StockService/Count"}};\n'
    stock = service("stock", rpc("Count", internal("portal")))
    assert said(tmp_path, stock.replace("message Thing", client + "message Thing", 1)) == []


def test_a_deadline_outlasts_those_of_what_is_called_in_sequence(tmp_path: Path) -> None:
    stock = service("stock", rpc("Count", internal("shop", deadline=1)), rpc("Take", internal("shop", deadline=2)))
    calls = 'calls: "stock.v1.StockService/Count" calls: "stock.v1.StockService/Take"'
    long_enough = USER.replace("seconds: 1}", "seconds: 3}", 1)
    assert said(tmp_path, stock, service("shop", rpc("Buy", f"{USER} {calls}"))) == [
        AT + "its deadline is 1 s, but what it calls may take 3 s (Count 1 s + Take 2 s); lengthen its deadline, or "
        "shorten theirs [deadline-too-short]"
    ]
    assert said(tmp_path, stock, service("shop", rpc("Buy", f"{long_enough} {calls}"))) == []


def test_calls_go_in_no_circle(tmp_path: Path) -> None:
    stock = service("stock", rpc("Count", internal("shop")), calls=["shop.v1.ShopService/Ask"])
    shop = service("shop", rpc("Buy", f'{USER} calls: "stock.v1.StockService/Count"'), rpc("Ask", internal("stock")))
    assert said(tmp_path, stock, shop) == [
        (
            "protos/stock/v1/service.proto:13: stock.v1.StockService/Count: a circle of calls: shop -> stock "
            "(Count) -> shop (Ask); let one of them learn by an event what it asks for now [call-cycle]"
        )
    ]


def test_a_tier_has_one_number(tmp_path: Path) -> None:
    other = USER.replace("requests: 1", "requests: 2")
    assert said(tmp_path, service("shop", rpc("Buy", USER), rpc("Look", other))) == [
        (
            'protos/shop/v1/service.proto:14: shop.v1.ShopService/Look: tier "other" is 2 in 1 s here and 1 in 1 s in '
            "shop.v1.ShopService/Buy; one tier has one number: change it, or name another tier [uneven-tier]"
        )
    ]


def test_the_tuning_has_the_contracts_tiers_and_no_others(tmp_path: Path) -> None:
    gold = service("shop", rpc("Buy", USER.replace('"other"', '"gold"')))
    found = said(tmp_path, gold, tuning=load_tuning())
    assert found[0] == (
        "mesh/tuning.yaml: profiles.dev.tiers.create_order: no contract names this tier; "
        "drop it, or fix its name [tier]"
    )
    assert found[-1] == AT + 'tier "gold" has no number; add profiles.dev.tiers.gold to mesh/tuning.yaml [tier]'
