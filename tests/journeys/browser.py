"""A real browser: Debian's Chromium, headless, that may talk to nobody but this machine."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

CHROMIUM: Final = shutil.which("chromium")
DRIVER: Final = shutil.which("chromedriver")

WIDE: Final = (1280, 900)
NARROW: Final = (390, 844)

_QUIET: Final = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"),
    "--disable-dev-shm-usage",  # /dev/shm is small in containers
)
"""Without the second line's it asks its maker's servers for news at every start."""


@contextmanager
def chromium(profile: Path, *, size: tuple[int, int] = WIDE, dark: bool = False) -> Iterator[webdriver.Chrome]:
    """Opens a window.

    Args:
        profile: An empty directory for what it keeps.
        size: Of the window, in CSS pixels.
        dark: Whether its user likes it dark.
    """
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("needs Debian's packages chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (*_QUIET, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    window = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        colours = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        window.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": colours})
        width, height = size
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        window.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        yield window
    finally:
        window.quit()
