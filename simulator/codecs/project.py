"""The modules of a user's project that a file of theirs imports: found in advance, told by content, kept apart.

A file may import what lies beside it and in the current folder, at the top or in the middle of a method. Every import
that its source names is followed, so that a fingerprint covers a helper before the first row needs it. What is imported
under a name that is computed shows only when it happens: `Project.late` names it, and its rows are not reused.
"""

import ast
import hashlib
import importlib
import importlib.util
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

_INSTALLED = tuple(sorted({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}))
_OURS = "simulator"
# Modules, and which are late, by file and digest: a module is made once, as in any program.
_KEPT: dict[tuple[Path, str], tuple[dict[str, ModuleType], set[Path]]] = {}


class Project:
    """What a file imports from outside of installed packages.

    Attributes:
        late: files that methods imported although no import in the source names them.
    """

    def __init__(self, path: Path, source: bytes) -> None:
        """path: the file; source: its content."""
        self._path = path.resolve()
        self._folder = self._path.parent
        self._here = Path.cwd()
        self.files = self._find(source)
        self._names = {one.stem for one in self._folder.glob("*.py")} - {_OURS}
        self._names |= {one.parent.name for one in self._folder.glob("*/__init__.py")} - {_OURS}
        self._names |= {name.partition(".")[0] for name in self.files}
        self._own, self.late = _KEPT.setdefault((self._path, self.digest(source)), ({}, set()))
        self._entered = False

    def digest(self, source: bytes) -> str:
        """SHA-256 (hex) of the file and of all that it imports."""
        parts = [source, *(self.files[name].read_bytes() for name in sorted(self.files))]
        return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Imports inside the block find what lies beside the file first, as if a script ran there.

        None of the modules stays behind: the next file may bring others of the same names.
        """
        if self._entered:
            yield
            return
        strangers = _taken(self._names)
        sys.modules.update(self._own)
        places = [str(self._folder), str(self._here)]
        sys.path[:] = [places[0], *sys.path, places[1]]
        before = set(sys.modules)
        self._entered = True
        try:
            yield
        finally:
            self._entered = False
            sys.path.remove(places[0])
            del sys.path[len(sys.path) - 1 - sys.path[::-1].index(places[1])]
            if len(sys.modules) != len(before):
                self._note(set(sys.modules) - before)
            for name in self._own:
                sys.modules.pop(name, None)
            sys.modules.update(strangers)

    def within(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """The method, with `entered` around every call."""

        @wraps(method)
        def call(*arguments: Any, **options: Any) -> Any:
            with self.entered():
                return method(*arguments, **options)

        return call

    def _note(self, names: set[str]) -> None:
        """Keep new modules of the project for the next block; those whose file no import names are late."""
        known = set(self.files.values())
        for name in names:
            file = getattr(sys.modules[name], "__file__", None)
            if name.partition(".")[0] == _OURS or (file is None and name.partition(".")[0] not in self._names):
                continue
            if file is not None and (_is_installed(file) or Path(file).resolve() == self._path):
                continue
            self._own[name] = sys.modules[name]
            if file is not None and (path := Path(file).resolve()) not in known:
                self.late.add(path)

    def _find(self, source: bytes) -> dict[str, Path]:
        """The files of all modules that imports name, here and in those modules, by name of the module."""
        found: dict[str, Path] = {}
        seen: set[str] = set()
        waiting = [(source, "")]
        while waiting:
            content, package = waiting.pop()
            for name in _imported(content, package) - seen:
                seen.add(name)
                if (spec := self._spec(name)) is None or spec.origin is None:
                    continue
                found[name] = Path(spec.origin).resolve()
                if spec.origin.endswith(".py"):
                    inside = name if spec.submodule_search_locations else name.rpartition(".")[0]
                    waiting.append((found[name].read_bytes(), inside))
        return found

    def _spec(self, name: str) -> ModuleSpec | None:
        """Where a module would be imported from; None if that is an installed package, or nowhere."""
        parts = name.split(".")
        if parts[0] == _OURS:
            return None
        own = [one for one in sys.path if one and not _is_installed(str(Path(one, "x")))]
        places: list[str] | None = [str(self._folder), *own, str(self._here)]
        spec = None
        for depth in range(1, len(parts) + 1):
            with suppress(ImportError, ValueError, AttributeError):
                spec = PathFinder.find_spec(parts[depth - 1], places)
                if spec is None and depth == 1:  # a package of theirs that is installed as editable
                    spec = importlib.util.find_spec(parts[0])
            if spec is None or (spec.origin and _is_installed(spec.origin)):
                return None
            if depth < len(parts):
                if spec.submodule_search_locations is None:
                    return None
                places, spec = list(spec.submodule_search_locations), None
        return spec if spec is not None and (spec.origin is None or Path(spec.origin).is_file()) else None


def _imported(source: bytes, package: str) -> set[str]:
    """Full names of the modules that a source may import, wherever it does, with the packages that they are in.

    Args:
        source: of Python; nothing is imported by what cannot be parsed.
        package: that the module is in, to which relative imports refer.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names if alias.name != "*")}
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                names.add(node.args[0].value)
    parts = [name.split(".") for name in names if name and not name.startswith(".")]
    return {".".join(one[:depth]) for one in parts for depth in range(1, len(one) + 1)}


def _taken(names: set[str]) -> dict[str, ModuleType]:
    """Take the modules of these names, and those inside of packages of these names, out of `sys.modules`."""
    if not names & sys.modules.keys():
        return {}
    found = {name: one for name, one in sys.modules.items() if name.partition(".")[0] in names}
    for name in found:
        del sys.modules[name]
    importlib.invalidate_caches()
    return found


def _is_installed(file: str) -> bool:
    """Whether a file belongs to Python, to an installed package, or to this program."""
    inside = file.startswith(_INSTALLED) or "site-packages" in file or "dist-packages" in file
    return inside or Path(file).is_relative_to(Path(__file__).parents[1])
