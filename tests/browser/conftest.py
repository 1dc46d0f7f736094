"""A real browser, headless Chromium, that lets no error pass.

Any page opened through `open_page` fails its test when it logs an error or a warning, throws, or asks for something
that it does not get. Chromium is what CHROMIUM names, else what is found on the PATH.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

OpenPage = Callable[..., "Page"]
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage")
SECONDS = 60.0  # of patience: machines that run tests are busy


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    """Headless Chromium, one for all tests of a process."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if program is None:
        pytest.skip("no Chromium: set CHROMIUM, or install Debian's package chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def complaints() -> list[str]:
    """What pages of this test complained about so far; a test that expects a complaint removes it."""
    return []


@pytest.fixture
def open_page(browser: "Browser", complaints: list[str]) -> Iterator[OpenPage]:
    """Opens an address in a window of its own: `open_page(url, width=375, color_scheme="dark")`."""
    with opening_pages(browser, complaints) as open_one:
        yield open_one
    assert complaints == []


@contextmanager
def opening_pages(browser: "Browser", complaints: list[str]) -> Iterator[OpenPage]:
    """Pages that note what they complain about, and close at the end."""
    contexts = []

    def open_one(url: str, width: int = 1280, height: int = 900, **options: Any) -> "Page":
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(1000 * SECONDS)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: _note_console(message, complaints))
        page.on("pageerror", lambda error: complaints.append(f"uncaught: {error}"))
        page.on("requestfailed", lambda request: _note_failure(request, complaints))
        page.on("response", lambda response: _note_response(response, complaints))
        page.goto(url)
        return page

    yield open_one
    for context in contexts:
        context.close()


def _note_console(message: Any, complaints: list[str]) -> None:
    if message.type in ("error", "warning"):
        complaints.append(f"{message.type}: {message.text} ({message.location.get('url', '')})")


def _note_failure(request: Any, complaints: list[str]) -> None:
    # A page that closes, or starts anew, gives up requests of its own accord.
    if request.failure != "net::ERR_ABORTED":
        complaints.append(f"failed: {request.url[:200]} ({request.failure})")


def _note_response(response: Any, complaints: list[str]) -> None:
    if response.status >= 400:
        complaints.append(f"status {response.status}: {response.url[:200]}")
