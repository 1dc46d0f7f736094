"""The modules of a user's project that a file of theirs imports: found in advance, identified by content, kept apart.

A file may import from its own and the current folder, at the top or inside a method. Every import
that its source names is followed, so that a fingerprint covers a helper before the first row needs it. It also covers
every file of the user that is executed or read while the file is loaded, in whatever way and wherever it lies. What is
executed or read only later, in a method, shows when it happens: `Project.late` names it, and its rows are not reused,
unless an import names it or the user's `fingerprint()` reads it too.
"""

import ast
import hashlib
import importlib
import importlib.util
import sys
import sysconfig
from collections.abc import Callable, Iterator, KeysView
from contextlib import contextmanager, suppress
from functools import wraps
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from simulator.codecs.heard import HEARD
from simulator.disk import cache_dir, file_sha256
from simulator.errors import UserError

_INSTALLED = tuple(sorted({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}))
_OURS = "simulator"
_CACHES = (".", "__pycache__", "torchinductor_")  # how names of folders of caches begin
# Files there belong to the system, to programs, or to what Python is installed with (fonts, time zones ...).
_SYSTEMS = tuple(
    f"/{name}/" for name in ("bin", "dev", "etc", "lib", "lib64", "proc", "run", "sbin", "sys", "usr", "var")
)
_SYSTEMS += tuple(f"{prefix}/" for prefix in {sys.prefix, sys.base_prefix} if Path(prefix) != Path(prefix).parent)


class _Kept:
    """What one content of a file has imported: a module is made once, as in any program.

    Attributes:
        modules: by name.
        places, later: folders that its code added to `sys.path` while it was loaded and afterwards, with whether
            they come first.
        loaded: files that were executed or read while the file was loaded, with their digests.
        told: the same while the user's `fingerprint()` was asked, which answers for them.
        late: the same later, although no import names them.
    """

    def __init__(self) -> None:
        self.modules: dict[str, ModuleType] = {}
        self.places: dict[str, bool] = {}
        self.later: dict[str, bool] = {}
        self.loaded: dict[Path, str] = {}
        self.told: dict[Path, str] = {}
        self.late: dict[Path, str] = {}

    def is_old(self) -> bool:
        """Whether a file has changed that was executed or read."""
        return any(_digest(file) != known for file, known in (self.loaded | self.told | self.late).items())


_KEPT: dict[tuple[Path, str, tuple[str, ...]], _Kept] = {}  # by file, digest and options


class Project:
    """What a file imports and reads from outside of installed packages."""

    def __init__(self, path: Path, source: bytes, options: tuple[str, ...] = ()) -> None:
        """path: the file; source: its content; options: what its class is given, on which imports may depend."""
        self._path = path.resolve()
        self._folder = self._path.parent
        self._here = Path.cwd()
        self.files = self._find(source)
        self._names = {one.stem for one in self._folder.glob("*.py")} - {_OURS}
        self._names |= {one.parent.name for one in self._folder.glob("*/__init__.py")} - {_OURS}
        self._names |= {name.partition(".")[0] for name in self.files}
        self._others: list[Path] = []
        key = (self._path, self.digest(source), options)
        if (kept := _KEPT.get(key)) is None or kept.is_old():
            kept = _KEPT[key] = _Kept()
        self._kept, self._loading = kept, True
        self._entered = self._telling = False

    @property
    def late(self) -> KeysView[Path]:
        """Files that methods execute or read although no fingerprint covers them; more may come."""
        if self._entered:
            self._note(set())
        return self._kept.late.keys()

    def loaded(self, source: bytes) -> None:
        """End of the load: from now on all files that were executed or read are known, and others are late."""
        with self._searched():
            self.files |= self._find(source)  # the code may have added folders to `sys.path`
        self._names |= {name.partition(".")[0] for name in self.files}
        self._others = [path for path in self._kept.loaded if path not in self.files.values()]
        self._loading = False

    def digest(self, source: bytes) -> str:
        """SHA-256 (hex) of the file, of all that it imports, and of what it reads while it is loaded."""
        parts = [source, *(self.files[name].read_bytes() for name in sorted(self.files))]
        digests = [hashlib.sha256(part).digest() for part in parts]
        digests += sorted(hashlib.sha256(f"{path.name}\n{_digest(path)}".encode()).digest() for path in self._others)
        return hashlib.sha256(b"".join(digests)).hexdigest()

    @contextmanager
    def entered(self, telling: bool = False) -> Iterator[None]:
        """Imports inside the block look in the file's folder first, as for a script there.

        None of the modules stays loaded: the next file may have others of the same names. `telling`: the block calls
        the user's own fingerprint.
        """
        if self._entered:
            yield
            return
        strangers = _taken(self._names)
        sys.modules.update(self._kept.modules)
        before = set(sys.modules)
        self._entered = True
        self._telling = telling
        HEARD.start()
        try:
            with self._searched():
                yield
        finally:
            self._entered = HEARD.listening = False
            if HEARD.executed or HEARD.read or len(sys.modules) != len(before):
                self._note(set(sys.modules) - before)
            for name in self._kept.modules:
                sys.modules.pop(name, None)
            sys.modules.update(strangers)

    @contextmanager
    def _searched(self) -> Iterator[None]:
        """Folders of the file, and those that its code adds, are on `sys.path` inside the block only."""
        before, added = list(sys.path), self._kept.places if self._loading else self._kept.later
        kept = self._kept.places if self._loading else self._kept.places | added
        first, last = [place for place in kept if kept[place]], [place for place in kept if not kept[place]]
        sys.path[:] = [*first, str(self._folder), *before, *last, str(self._here)]
        there = list(sys.path)
        try:
            yield
        finally:
            if sys.path != there:
                ours = sys.path.index(there[0]) if there[0] in sys.path else 0
                for index, place in enumerate(sys.path):
                    if place not in there:
                        added[place] = index < ours
            sys.path[:] = before

    def within(self, method: Callable[..., Any], telling: bool = False) -> Callable[..., Any]:
        """The method, with `entered` around every call."""

        @wraps(method)
        def call(*arguments: Any, **options: Any) -> Any:
            with self.entered(telling):
                return method(*arguments, **options)

        return call

    def _note(self, names: set[str]) -> None:
        """Keep new modules of the project for the next block, and the files that were executed or read."""
        files = {file for file in HEARD.executed if not _is_installed(file)}
        files |= {file for file in HEARD.read - HEARD.written if self._is_data(Path(file))}
        for name in names:
            file = getattr(sys.modules[name], "__file__", None)
            if name.partition(".")[0] == _OURS or (file is None and name.partition(".")[0] not in self._names):
                continue
            if file is not None and (_is_installed(file) or Path(file).resolve() == self._path):
                continue
            self._kept.modules[name] = sys.modules[name]
            files |= {file} if file is not None else set()
        kept = self._kept
        into = kept.loaded if self._loading else kept.told if self._telling else kept.late
        known = {self._path, *self.files.values(), *kept.loaded, *kept.told, *kept.late}
        into.update(
            {path: _digest(path) for path in {Path(file).resolve() for file in files} - known if path.is_file()}
        )

    def _is_data(self, path: Path) -> bool:
        """Whether a file that was read is the user's data: not a program's, the system's, or in a cache.

        Hidden folders count as caches, seen from the project's folders where the file lies in one of them; so do hidden
        files elsewhere.
        """
        with suppress(UserError):
            if path.is_relative_to(cache_dir()):
                return False
        folders = {self._folder, self._here, *map(Path, self._kept.places | self._kept.later)}
        inside = [path.relative_to(one).parts for one in folders if one != one.parent and path.is_relative_to(one)]
        folders_inside = [parts[:-1] for parts in inside] or [path.parts]
        hidden = [any(part.startswith(_CACHES) for part in parts) for parts in folders_inside]
        return not all(hidden) and not str(path).startswith(_SYSTEMS) and not _is_installed(str(path))

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


def _digest(path: Path) -> str:
    """SHA-256 (hex) of a file; empty if it is gone."""
    with suppress(OSError):
        return file_sha256(path)
    return ""


def _imported(source: bytes, package: str) -> set[str]:
    """Full names of the modules that a source may import, wherever it does, with the packages that they are in.

    Args:
        source: of Python; one that cannot be parsed imports nothing.
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
