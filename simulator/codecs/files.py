"""`torch:FILE.py:CLASS[:OPTION...]`: a class in a Python file as a scheme, without packaging.

The class is a `Scheme`, a `Bound` or a `SymbolCodec`, and is made from its options, `CLASS(*options)`. Its file may
import modules from its own folder or the current one. The fingerprint covers the contents of all of them, and of files
that are read there while the object is made.
"""

import hashlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from simulator.codecs.held import networks, own_parts
from simulator.codecs.project import Project
from simulator.codecs.symbol import CodecScheme, SymbolCodec, explained
from simulator.disk import user_path
from simulator.errors import UserError
from simulator.link import Bound, Scheme
from simulator.metrics import Metric
from simulator.spec.options import Declaration, declares

# The methods that a class must have, and how many arguments they are given.
METHODS = {
    "scheme": {"encode": 3, "decode": 1, "fingerprint": 0},
    "bound": {"reconstruct": 3, "fingerprint": 0},
    "codec": {"encode": 2, "decode": 4},
    "metric": {"measure": 2, "fingerprint": 0},
    "source codec": {"encode": 2, "decode": 2, "version": 0},
}
OPTIONAL = ("supports", "to", "compute_in", "inspect")


@declares(Declaration("torch", "a scheme, bound or codec in a Python file", form="FILE.py:CLASS[:OPTION...]"))
def load_from_file(*options: str) -> Scheme | Bound:
    """The scheme that `torch:` names; entry point of the group `simulator.schemes`.

    Raises:
        UserError: no such file or class, a file that cannot be imported, a class that is no scheme.
    """
    made, digest, project = load_class("torch", options, _kind_of_scheme)
    spec = ":".join(["torch", *options])
    if isinstance(made, SymbolCodec):
        with explained(f"{spec}: it cannot be distinguished from others of its class"), project.entered(telling=True):
            scheme = CodecScheme(made, spec, "-".join([digest, *own_parts(made)]))
        return within(scheme, project, *METHODS["scheme"], *OPTIONAL)
    with explained(f"{spec}: its 'name' cannot be set"):
        made.name = spec
    return _with_digest(made, digest, project)


@declares(Declaration("torch", "a metric in a Python file", form="FILE.py:CLASS[:OPTION...]"))
def load_metric_from_file(*options: str) -> Metric:
    """The metric that `torch:` names, under the name that its class has; entry point of the group `simulator.metrics`.

    Raises:
        UserError: as `load_from_file` does.
    """
    return _with_digest(*load_class("torch", options, lambda chosen: "metric"))


def load_class(name: str, options: tuple[str, ...], kind_of: Callable[[type], str]) -> tuple[Any, str, Project]:
    """What a class of a file makes of its options.

    Args:
        name: of the plug-in, for messages.
        options: FILE.py, CLASS, and what the class is given.
        kind_of: which of `METHODS` a class must have.

    Returns:
        The object, the SHA-256 (hex) of all code that it takes, and where that is.

    Raises:
        UserError: no such file or class, a file that cannot be imported, a class without these methods.
    """
    spec = ":".join([name, *options])
    if len(options) < 2 or not options[0].endswith(".py"):
        raise UserError(f"'{spec}' names no class; write {name}:FILE.py:CLASS[:OPTION...]")
    path, class_name, arguments = user_path(options[0]), options[1], options[2:]
    source = read_source(path)
    project = Project(path, source, options)
    with project.entered():
        module = _execute(path, source)
        made = _make(path, module, class_name, arguments, kind_of)
    project.loaded(source)
    return made, project.digest(source), project


def _with_digest(made: Any, digest: str, project: Project) -> Any:
    own = made.fingerprint
    made.fingerprint = lambda: f"{digest}-{own()}"
    return within(made, project, *METHODS["scheme"], *METHODS["bound"], *METHODS["metric"], *OPTIONAL)


def within(made: Any, project: Project, *methods: str) -> Any:
    """Let an object's methods import from its project, and record what they import and read late."""
    for name in methods:
        if hasattr(made, name):
            setattr(made, name, project.within(getattr(made, name), telling=name == "fingerprint"))
    made.late_imports = project.late
    return made


def run_file(path: Path) -> tuple[str, Project]:
    """Execute a Python file for what it registers.

    Returns:
        The SHA-256 (hex) of it and of what it imports, and where that is.

    Raises:
        UserError: no such file, or it cannot be executed.
    """
    source = read_source(path)
    project = Project(path, source)
    with project.entered():
        _execute(path, source)
    project.loaded(source)
    return project.digest(source), project


def read_source(path: Path) -> bytes:
    """The content of a file.

    Raises:
        UserError: it is not there, or cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror}; paths are relative to the current folder") from None


def _execute(path: Path, source: bytes) -> ModuleType:
    """Run the very bytes that were hashed; a cached compilation might be older."""
    try:
        code = compile(source, str(path), "exec")
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise UserError(f"'{path}{f':{line}' if line else ''}' is no Python: {getattr(error, 'msg', error)}") from None
    module = ModuleType(f"_{path.stem}_{hashlib.sha256(source).hexdigest()[:16]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses look there for the types that annotations name
    try:
        with explained(f"'{path}' cannot be imported"):
            exec(code, module.__dict__)
    except SystemExit:
        raise UserError(f"'{path}' ends the program when imported; put that under if __name__ == '__main__'") from None
    return module


def _make(
    path: Path, module: ModuleType, class_name: str, arguments: tuple[str, ...], kind_of: Callable[[type], str]
) -> Any:
    chosen = getattr(module, class_name, None)
    if not inspect.isclass(chosen):
        own = [name for name, one in vars(module).items() if inspect.isclass(one) and one.__module__ == module.__name__]
        raise UserError(f"'{path}' has no class '{class_name}'; it has: {', '.join(own) or 'none'}")
    _check_methods(path, chosen, kind_of(chosen))
    try:
        inspect.signature(chosen).bind(*arguments)
    except TypeError as error:
        given = ":".join(arguments) or "none"
        raise UserError(f"'{path}': {class_name} does not take the options given ({given}): {error}") from None
    except ValueError:  # a signature that cannot be determined
        pass
    with explained(f"'{path}': {class_name} cannot be made"):
        made = chosen(*arguments)
        for network in networks(made):  # otherwise dropout and batch statistics would be active
            network.eval().requires_grad_(False)
    return made


def _kind_of_scheme(chosen: type) -> str:
    return "codec" if issubclass(chosen, SymbolCodec) else "bound" if hasattr(chosen, "reconstruct") else "scheme"


def _check_methods(path: Path, chosen: type, kind: str) -> None:
    for name, number in METHODS[kind].items():
        method = getattr(chosen, name, None)
        if not callable(method) or getattr(method, "__isabstractmethod__", False):
            raise UserError(f"'{path}': class {chosen.__name__} lacks the method {name} that a {kind} has")
        try:
            inspect.signature(method).bind(*range(number + 1))
        except TypeError:
            hint = (
                ""
                if kind != "scheme"
                else "; a codec without budget and bill derives from simulator.codecs.SymbolCodec"
            )
            raise UserError(f"'{path}': {chosen.__name__}.{name} does not take {number} arguments{hint}") from None
        except ValueError:
            pass
