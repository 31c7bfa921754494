"""A real headless Chromium without a network."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = (
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    from playwright.sync_api import sync_playwright

    from tests.support.requirements import require

    require("chromium", Path(CHROMIUM).exists(), "apt-get install chromium, or name it in CHROMIUM")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield started
        started.close()


@dataclass
class Opened:
    """The report in a browser window: what the console said, and what was asked of the network."""

    page: "Page"
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def count(self, selector: str) -> int:
        return self.page.locator(selector).count()

    def draw(self) -> None:
        """All plots, also those far below the window."""
        self.page.wait_for_function("window.drawAll !== undefined")
        self.page.evaluate("drawAll()")


def opened(browser: "Browser", path: Path, width: int = 1280, scheme: Any = "light") -> Opened:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    context.set_offline(True)
    window = Opened(context.new_page())
    window.page.on("console", lambda message: window.said.append(f"{message.type}: {message.text}"))
    window.page.on("pageerror", lambda error: window.said.append(f"error: {error}"))

    def only_files(route: "Route") -> None:
        if route.request.url.startswith("file:"):
            route.continue_()
        else:
            window.asked.append(route.request.url)
            route.abort()

    context.route("**/*", only_files)
    window.page.goto(path.as_uri())
    window.draw()
    return window
