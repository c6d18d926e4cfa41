"""The TypeScript client: generated from the OpenAPI document by a public generator, and used against the shop."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.journeys.running import RunningShop

CLIENT: Final = Path(__file__).parents[2] / "clients" / "typescript"


@pytest.fixture(scope="module")
def node_modules() -> Path:
    """What the client is built with, as its lock file pins it."""
    if shutil.which("npm") is None:
        pytest.skip("needs Node.js 20 with npm")
    installed, locked = CLIENT / "node_modules" / ".package-lock.json", CLIENT / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < locked.stat().st_mtime:
        _run("npm", "ci", "--ignore-scripts")
    return installed.parent


def test_its_types_are_those_of_the_document(node_modules: Path, tmp_path: Path) -> None:
    fresh = tmp_path / "schema.ts"
    _run("npx", "--no-install", "openapi-typescript", "../../generated/openapi/openapi.json", "--output", str(fresh))
    if fresh.read_bytes() != (CLIENT / "src" / "schema.ts").read_bytes():
        pytest.fail("the types are not those of the document: run `npm run generate` in clients/typescript")


def test_the_document_passes_the_strict_rules_of_a_public_linter(node_modules: Path) -> None:
    said = _run("npm", "run", "lint")
    assert "Your API description is valid" in said
    assert "warning" not in said.lower().replace("deprecation warning", "")


@pytest.mark.parametrize("shop", ["inprocess"], indirect=True)
def test_it_buys(node_modules: Path, shop: RunningShop) -> None:
    _run("npm", "run", "build")
    order, refusal = _run("node", "dist/example.js", f"http://{shop.address}", "manchego").splitlines()
    assert json.loads(order)["state"] == "CONFIRMED"
    assert json.loads(refusal) == {"status": 400, "reason": "PAYMENT_DECLINED"}


def _run(*command: str) -> str:
    done = subprocess.run(command, cwd=CLIENT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr
