"""The portal in a real browser: log in, place an order from the page, see it confirmed; all of it comes from here."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support import expected_conditions as seen
from selenium.webdriver.support.ui import WebDriverWait

from mesh.ids import uuid7
from tests.journeys.browser import NARROW, WIDE, chromium
from tests.journeys.running import RunningShop

PAGES = ("/", "/status", "/docs")
PASSWORD = "correct horse battery staple"
PATIENCE = 30

GRPC_WEB = """
const done = arguments[arguments.length - 1];
fetch("/zoco.product.v1.ProductService/ListCategories", {
  method: "POST",
  headers: {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"},
  body: new Uint8Array([0, 0, 0, 0, 0]),  // one frame, of an empty message
}).then(async (answer) => {
  const bytes = new Uint8Array(await answer.arrayBuffer());
  const frames = [];
  for (let at = 0; at < bytes.length;) {
    const size = new DataView(bytes.buffer).getUint32(at + 1);
    frames.push([bytes[at], new TextDecoder().decode(bytes.slice(at + 5, at + 5 + size))]);
    at += 5 + size;
  }
  done({type: answer.headers.get("content-type"), frames});
});
"""
"""The gRPC-Web protocol (PROTOCOL-WEB.md): a length-prefixed frame each way; trailers come as a frame marked 0x80."""

CUT_OFF = """
return [...document.querySelectorAll(".scroll")].filter((table) => table.scrollWidth > table.clientWidth);
"""
"""Tables of which a part is outside of the window."""

# One mode is enough: what the edge shows does not depend on how processes reach each other.
pytestmark = pytest.mark.parametrize("shop", ["inprocess"], indirect=True)


@pytest.fixture
def window(tmp_path: Path) -> Iterator[Chrome]:
    with chromium(tmp_path / "profile") as opened:
        yield opened


@pytest.fixture
def buyer(shop: RunningShop) -> str:
    """The e-mail address of somebody with an account."""
    email = f"{uuid7()}@example.com"
    account = {"email": email, "password": PASSWORD, "displayName": "A Buyer"}
    httpx.post(f"http://{shop.address}/v1/users", json=account).raise_for_status()
    return email


def test_somebody_logs_in_and_buys_from_the_page(shop: RunningShop, window: Chrome, buyer: str) -> None:
    product = httpx.get(f"http://{shop.address}/v1/products?query=manchego&pageSize=1").json()["products"][0]
    window.get(f"http://{shop.address}/docs")
    _type(_find(window, "input[name=email]"), buyer)
    _type(_find(window, "input[name=password]"), PASSWORD + Keys.ENTER)
    WebDriverWait(window, PATIENCE).until(
        seen.text_to_be_present_in_element((By.ID, "who"), f"Logged in as {buyer} (CUSTOMER).")
    )

    operation = _open(window, "OrderService", "createOrder")
    body = _find(operation, "textarea.body-param__text")
    request = json.loads(body.get_attribute("value") or "")
    request["items"][0]["productId"] = product["id"]
    _type(body, Keys.CONTROL + "a" + Keys.NULL + json.dumps(request))
    _find(operation, "button.execute").click()

    order = _answer(operation)
    assert order.get("state") == "CONFIRMED", order
    assert order["items"][0]["name"] == product["name"]


def test_who_does_not_know_the_password_is_told(shop: RunningShop, window: Chrome, buyer: str) -> None:
    window.get(f"http://{shop.address}/docs")
    _type(_find(window, "input[name=email]"), buyer)
    _type(_find(window, "input[name=password]"), "wrong" + Keys.ENTER)
    WebDriverWait(window, PATIENCE).until(lambda _: "bad" in (_find(window, "#who").get_attribute("class") or ""))
    assert "password" in _find(window, "#who").text


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_every_page_fits_its_window_and_complains_of_nothing(
    shop: RunningShop, tmp_path: Path, size: tuple[int, int], *, dark: bool
) -> None:
    with chromium(tmp_path / "profile", size=size, dark=dark) as window:
        for path in PAGES:
            window.get(f"http://{shop.address}{path}")
            _settled(window, path)
            assert not window.get_log("browser"), path  # type: ignore[no-untyped-call]
            assert window.execute_script("return document.documentElement.scrollWidth <= innerWidth"), path
            assert not window.execute_script(CUT_OFF), path
            background = window.execute_script("return getComputedStyle(document.body).backgroundColor")
            assert (sum(map(int, background[4:-1].split(","))) < 3 * 128) == dark, f"{path}: {background}"


def test_everything_a_page_loads_comes_from_here(shop: RunningShop, window: Chrome) -> None:
    for path in PAGES:
        window.get(f"http://{shop.address}{path}")
        _settled(window, path)
        loaded = window.execute_script("return performance.getEntriesByType('resource').map(each => each.name)")
        assert loaded
        assert not [each for each in loaded if not each.startswith((f"http://{shop.address}/", "data:", "blob:"))]


def test_the_status_page_tells_of_every_service(shop: RunningShop, window: Chrome) -> None:
    window.get(f"http://{shop.address}/status")
    _settled(window, "/status")
    told = {row.text.split()[0] for row in window.find_elements(By.CSS_SELECTOR, "#services tr")}
    assert told == {each["service"] for each in httpx.get(f"http://{shop.address}/healthz").json()["services"]}


def test_a_browser_calls_by_grpc_web(shop: RunningShop, window: Chrome) -> None:
    window.get(f"http://{shop.address}/status")
    told: Any = window.execute_async_script(GRPC_WEB)
    categories = httpx.get(f"http://{shop.address}/v1/categories").json()["categories"]
    assert told["type"].startswith("application/grpc-web")
    (kind, message), (end, trailers) = told["frames"]
    assert (kind, end) == (0, 0x80)
    assert all(each["name"] in message for each in categories)
    assert "grpc-status:0" in trailers.replace(" ", "")


def _settled(window: Chrome, path: str) -> None:
    """Waits until a page shows what it asked the shop for."""
    what = ".opblock-tag" if path == "/docs" else "#health.SERVING"
    WebDriverWait(window, PATIENCE).until(seen.presence_of_element_located((By.CSS_SELECTOR, what)))


def _open(window: Chrome, tag: str, operation: str) -> WebElement:
    """Opens an operation of the API page."""
    _find(window, f"#operations-tag-{tag}").click()
    block = _find(window, f"#operations-{tag}-{operation}")
    _find(block, ".opblock-summary-control").click()
    return block


def _answer(operation: WebElement) -> dict[str, Any]:
    """The answer that the page shows, once there is one."""
    shown = ".live-responses-table .response-col_description .highlight-code code"
    answer: dict[str, Any] = json.loads(_find(operation, shown).text)
    return answer


def _find(within: Chrome | WebElement, selector: str) -> WebElement:
    wait = WebDriverWait(within, PATIENCE)
    found: WebElement = wait.until(lambda place: place.find_element(By.CSS_SELECTOR, selector))
    return found


def _type(field: WebElement, text: str) -> None:
    field.send_keys(text)
