"""The fenced blocks of a page, and the commands in them."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "experiments" / "README.md", *(ROOT / "docs").rglob("*.md")])

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w+)[^\n]*\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
_LOOP = re.compile(r"^for (?P<name>\w+) in (?P<words>[^;]+); do\n(?P<body>.*?)^done$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its text without indentation, where it starts, and the output shown under it."""

    page: str
    line: int
    language: str
    text: str
    output: str | None


def blocks(path: Path) -> list[Block]:
    """All fenced blocks of a page that name a language; a `text` block right after another one is its output."""
    source = path.read_text()
    found = list(_FENCE.finditer(source))
    result = []
    for here, after in zip(found, [*found[1:], None], strict=False):
        adjacent = after and after["language"] == "text" and not source[here.end() : after.start()].strip()
        line = source[: here.start()].count("\n") + 1
        output = _dedent(after) if adjacent else None
        result.append(Block(str(path.relative_to(ROOT)), line, here["language"], _dedent(here), output))
    return result


def _dedent(found: re.Match[str]) -> str:
    return "\n".join(line.removeprefix(found["indent"]) for line in found["text"].splitlines()) + "\n"


def commands(text: str) -> list[list[str]]:
    """The words of each command of a bash block, in order: continued lines joined, loops unrolled, `&&` split."""
    text = _LOOP.sub(_unroll, text.replace("\\\n", " "))
    result = []
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        while words:
            end = words.index("&&") if "&&" in words else len(words)
            result.append(words[:end])
            words = words[end + 1 :]
    return result


def _unroll(loop: re.Match[str]) -> str:
    return "\n".join(loop["body"].replace(f"${loop['name']}", word) for word in loop["words"].split())
