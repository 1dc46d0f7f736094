"""The website builds without a warning, fetches nothing from elsewhere, and leaves nothing of the program out."""

import argparse
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType, SimpleNamespace
from urllib.parse import unquote

import pytest

from simulator.__main__ import build_parser
from simulator.cli.list import FIND
from tests.docs.blocks import PAGES, ROOT


@pytest.fixture(scope="module")
def hooks() -> Iterator[ModuleType]:
    """docs/site/hooks.py, imported as MkDocs does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "docs" / "site"))
        yield importlib.import_module("hooks")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The website, built as `mkdocs build --strict -f docs/site/mkdocs.yml` does, in another folder."""
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", "docs/site/mkdocs.yml", "-d", str(folder)]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}  # the theme's note on its own future
    done = subprocess.run(build, cwd=ROOT, env=quiet, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr, done.stderr
    return folder


@pytest.mark.slow
def test_every_page_and_figure_is_there(site: Path) -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        assert (site / page.relative_to(ROOT / "docs").with_suffix(".html")).exists()
    results = (site / "results.html").read_text()
    shown = [unquote(name) for name in re.findall(r'src="(results/[^"]+)"', results)]
    assert all((site / name).exists() for name in shown)
    for folder in (ROOT / "results").glob("*/figures"):
        drawn = sorted(folder.glob("*.png"))
        main = [one for one in drawn if "-psnr-lpips" in one.name] or drawn
        assert {one.relative_to(ROOT).as_posix() for one in main} <= set(shown)
    gallery = (site / "gallery.html").read_text()
    sheets = {one.relative_to(ROOT).as_posix() for one in (ROOT / "results" / "gallery" / "figures").glob("*.webp")}
    assert len(sheets) == 12
    assert sheets == {name for name in re.findall(r'src="(results/[^"]+)"', gallery) if (site / name).exists()}
    tutorial = (site / "tutorial.html").read_text()
    assert "One picture" in tutorial
    assert (site / "tutorial.ipynb").exists()
    leftovers = [page.name for page in site.rglob("*.html") if "<!-- fill" in page.read_text()]
    assert leftovers == []


class _Loaded(HTMLParser):
    """What a browser fetches for a page, beside what a reader clicks."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Take note of scripts, styles, pictures and frames."""
        given = dict(attributes)
        if tag in ("script", "img", "iframe", "source", "link") and given.get("rel") != "canonical":
            self.found += [given[name] or "" for name in ("src", "href", "srcset") if name in given]


@pytest.mark.slow
def test_pages_fetch_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = _Loaded()
        loaded.feed(page.read_text())
        assert loaded.found
        assert [one for one in loaded.found if re.match(r"(https?:)?//", one)] == [], page


@pytest.mark.slow
def test_search_works_from_disk(site: Path) -> None:
    script = (site / "search" / "search_index.js").read_text()
    index = json.loads(script.removeprefix("var __index = "))
    assert any("rate map" in one["text"] for one in index["docs"])
    titles = {one["location"]: one["title"].lower() for one in index["docs"]}
    assert "extend.html" in {place.partition("#")[0] for place, title in titles.items() if "add a scheme" in title}
    assert "iframe-worker.js" in (site / "index.html").read_text()


def _leaves(parser: argparse.ArgumentParser, words: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    children = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    yield words.strip(), parser
    for child in children:
        for name, one in child.choices.items():
            yield from _leaves(one, f"{words} {name}")


def test_no_verb_and_no_option_is_missing(hooks: ModuleType) -> None:
    page = hooks.commands()
    sections = dict(re.findall(r"^#+ `([^`]+)` .*?\n(.*?)(?=^#+ `|\Z)", page, re.MULTILINE | re.DOTALL))
    verbs = dict(_leaves(build_parser()))
    assert set(sections) == set(verbs) - {""}
    for words, parser in verbs.items():
        text = sections.get(words, page)
        shared = ("help", "quiet", "verbose", "debug") if words else ("help",)  # listed once, at the top
        for action in parser._actions:
            if action.dest not in shared and not isinstance(action, argparse._SubParsersAction):
                names = action.option_strings or [str(action.metavar)]
                assert all(name in text for name in names), (words, names)
                assert "%" not in text or "%%" not in text, words


@pytest.mark.parametrize(
    ("page", "kind"), [("schemes.md", "schemes"), ("schemes.md", "metrics"), ("channels.md", "channels")]
)
def test_no_declared_option_is_missing(hooks: ModuleType, page: str, kind: str) -> None:
    source = SimpleNamespace(file=SimpleNamespace(src_uri=page, abs_src_path=page))
    text = hooks.on_page_markdown((ROOT / "docs" / page).read_text(), source)
    declared = {key for one in FIND[kind]() for key in one.options}
    assert declared
    assert [key for key in sorted(declared) if not re.search(f"[`:]{key}[`=]", text)] == []


def test_links_out_of_docs_find_their_page(hooks: ModuleType) -> None:
    def relinked(text: str) -> str:
        return hooks.relink(text, Path("docs"))

    assert relinked("[a](../experiments/README.md#the-format)") == "[a](experiments.md#the-format)"
    assert relinked("![f](../results/figure4/figures/f.png)") == "![f](results/figure4/figures/f.png)"
    assert relinked("see [the code](../models/lrisc/unet.py)") == "see the code"
    assert relinked("[t](tutorial.ipynb)") == "[t](tutorial.md)"
    for kept in ("[b](concepts.md#x)", "[c](https://example.org/x)", "![d](assets/link.svg)"):
        assert relinked(kept) == kept


def test_a_commit_that_could_not_be_read_is_told(hooks: ModuleType) -> None:
    assert hooks._commit({"commit": {"id": None, "dirty": None, "unread": "no git"}}) == "commit not read: no git"
    assert hooks._commit({"commit": None}) == "commit unknown"


def test_the_readmes_table_is_what_was_measured(hooks: ModuleType) -> None:
    assert hooks.headline() in (ROOT / "README.md").read_text()


def test_the_readme_is_one_page() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 60


_LINK = re.compile(r"\[[^\]]*\]\(([^)\s#]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = [one for one in _LINK.findall(page.read_text()) if not one.startswith("https://")]
    assert [one for one in targets if not (page.parent / one).exists()] == []
