"""A page in headless Chromium: what it said, asked for and showed.

    chromium = browser_or_skip()     # skips the test, with the reason, where there is no Chromium
    facts = check_page("site/index.html")

Debian's Chromium is driven by playwright; no browser is downloaded. Requests to another host are recorded and
refused, so that a test never reaches the network.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import playwright.sync_api
import pytest
from playwright.sync_api import Page, Route, sync_playwright

NAMES = ("chromium", "chromium-browser")
ARGUMENTS = [
    "--no-sandbox",  # containers and root
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
TIMEOUT = 60_000  # ms, for a page: a guard against hanging, not a measurement

# lazy images are asked for now; an image or a font that cannot be loaded settles too
SETTLED = """async () => {
    const images = [...document.images];
    for (const image of images) image.loading = "eager";
    await Promise.all(images.map(image => image.decode().catch(() => null)));
    await document.fonts.ready;
}"""
IMAGES = """() => [...document.images].map(image => ({
    address: image.currentSrc || image.src, width: image.naturalWidth, words: image.alt,
}))"""
BROKEN_FONTS = """() => [...document.fonts].filter(font => font.status === "error").map(font => font.family)"""
NOTHING_UNDER_WAY = "() => document.readyState === 'complete'"
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@dataclass
class Facts:
    """What a page did while it was open."""

    title: str = ""
    text: str = ""
    console: list[str] = field(default_factory=list)  # errors and warnings on the console
    errors: list[str] = field(default_factory=list)  # exceptions that nobody caught
    failed: list[str] = field(default_factory=list)  # requests without an answer, or with a status from 400 on
    foreign: list[str] = field(default_factory=list)  # requests to another host
    images: list[dict[str, Any]] = field(default_factory=list)
    fonts: list[str] = field(default_factory=list)  # families that could not be loaded
    overflow: int = 0  # px by which the page is wider than the window

    @property
    def complaints(self) -> list[str]:
        """Everything that is wrong with the page, a line each."""
        return [
            *(f"console: {line}" for line in self.console),
            *(f"error: {line}" for line in self.errors),
            *(f"failed: {line}" for line in self.failed),
            *(f"another host: {line}" for line in self.foreign),
            *(f"empty image: {image['address']}" for image in self.images if image["width"] == 0),
            *(f"font not loaded: {family}" for family in self.fonts),
        ]


def browser_or_skip() -> str:
    """Where Chromium is; without one the test is skipped and says so."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    pytest.skip(f"no Chromium: none of {', '.join(NAMES)} is on the path (apt install chromium)")


class Browser:
    """A running Chromium."""

    def __init__(self, chromium: playwright.sync_api.Browser) -> None:
        self._chromium = chromium

    def open(
        self,
        address: str | Path,
        *,
        width: int = 1200,
        scheme: Literal["light", "dark"] = "light",
        acting: Callable[[Page], None] | None = None,
    ) -> Facts:
        """The facts of a page, given by path or by URL; `acting` may click, type, look, or take a picture."""
        where = _as_url(address)
        facts = Facts()
        context = self._chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        try:
            page = context.new_page()
            page.set_default_timeout(TIMEOUT)
            page.on("console", lambda said: _keep(facts.console, said.text, said.type in ("error", "warning")))
            page.on("pageerror", lambda error: facts.errors.append(str(error)))
            page.on("requestfailed", lambda request: facts.failed.append(f"{request.url} ({request.failure})"))
            page.on("response", lambda answer: _keep(facts.failed, answer.url, answer.status >= 400))
            page.route("**/*", _local_only(urlsplit(where).netloc, facts))
            page.goto(where, wait_until="load")
            page.evaluate(SETTLED)
            if acting is not None:
                acting(page)
            page.wait_for_function(NOTHING_UNDER_WAY)
            facts.title = page.title()
            facts.text = page.inner_text("body")
            facts.images = page.evaluate(IMAGES)
            facts.fonts = page.evaluate(BROKEN_FONTS)
            facts.overflow = page.evaluate(OVERFLOW)
        finally:
            context.close()
        return facts


@contextmanager
def browsing() -> Iterator[Browser]:
    """One Chromium for several pages. Leave it before anything else uses an event loop in this thread."""
    path = browser_or_skip()
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=ARGUMENTS, timeout=TIMEOUT)
        try:
            yield Browser(chromium)
        finally:
            chromium.close()


def opened(address: str | Path, **how: Any) -> Facts:
    """The facts of one page; see `Browser.open`."""
    with browsing() as browser:
        return browser.open(address, **how)


def check_page(address: str | Path, **how: Any) -> Facts:
    """Opens a page and fails on console errors, exceptions, failed or foreign requests, and empty images and fonts."""
    facts = opened(address, **how)
    assert not facts.complaints, "\n".join([f"{address}:", *facts.complaints])
    assert facts.text.strip(), f"{address}: the page is empty"
    return facts


def _as_url(address: str | Path) -> str:
    if isinstance(address, Path) or "://" not in address:
        return Path(address).resolve().as_uri()
    return address


def _local_only(host: str, facts: Facts) -> Callable[[Route], None]:
    def decide(route: Route) -> None:
        parts = urlsplit(route.request.url)
        if parts.scheme in ("http", "https", "ws", "wss", "ftp") and parts.netloc != host:
            facts.foreign.append(route.request.url)
            route.abort()
        else:
            route.continue_()

    return decide


def _keep(where: list[str], what: str, wanted: bool) -> None:
    if wanted:
        where.append(what)
