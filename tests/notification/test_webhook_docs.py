"""What docs/webhooks.md tells receivers to write is run, and believes what is ours and nothing else."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from services.notification.settings import NotificationSettings
from services.notification.webhooks import signing
from services.notification.webhooks.domain import EventType

PAGE: Final = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
BODY: Final = '{"type":"order.shipped","data":{"name":"Käse"}}'.encode()
LANGUAGES: Final = ["python", *(["javascript"] if shutil.which("node") else [])]


def snippet(language: str) -> str:
    """The one block of the page in a language."""
    [block] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(block)


def believed(language: str, directory: Path, secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """What the page's function says of a request."""
    if language == "python":
        names: dict[str, Any] = {}
        exec(snippet("python"), names)  # noqa: S102 - that is the point
        return bool(names["is_ours"](secret, dict(headers), body))
    (directory / "verify.mjs").write_text(snippet("javascript"))
    asked = json.dumps([secret, dict(headers), body.decode()])
    program = (
        "import { isOurs } from './verify.mjs'; const [secret, headers, body] = JSON.parse(process.argv[1]);"
        "console.log(isOurs(secret, headers, Buffer.from(body)))"
    )
    command = ["node", "--input-type=module", "--eval", program, asked]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True).stdout == "true\n"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_function_on_the_page_believes_what_is_ours_and_nothing_else(language: str, tmp_path: Path) -> None:
    old, new = signing.new_secret(), signing.new_secret()
    now = datetime.now(UTC)
    ours = signing.headers("one", BODY, time=now, keys=[new, old])
    stale = signing.headers("one", BODY, time=now - timedelta(minutes=6), keys=[new])

    def is_believed(secret: bytes, headers: Mapping[str, str], body: bytes = BODY) -> bool:
        return believed(language, tmp_path, signing.shown(secret), headers, body)

    assert is_believed(new, ours)
    assert is_believed(old, ours)
    assert not is_believed(signing.new_secret(), ours)
    assert not is_believed(new, ours, BODY.replace(b"shipped", b"refunded"))
    assert not is_believed(new, {**ours, "webhook-id": "another"})
    assert not is_believed(new, {**ours, "webhook-signature": "v1,", "webhook-timestamp": "soon"})
    assert not is_believed(new, stale)


def test_the_page_names_every_event_type_and_setting() -> None:
    for each in EventType:
        assert f"`{each.value}`" in PAGE
    aliases = [str(field.validation_alias) for field in NotificationSettings.model_fields.values()]
    for alias in aliases:
        if alias.startswith("ZOCO_WEBHOOK_"):
            assert alias in PAGE or alias.removeprefix("ZOCO_WEBHOOK") in PAGE
