"""What no source may do: unpickle, run a shell, evaluate text, unpack archives by name, build objects out of YAML."""

import ast
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
SOURCES = sorted(path for folder in ("simulator", "baselines", "models") for path in (CHECKOUT / folder).rglob("*.py"))

MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
# The only exceptions: what passes between processes of one sweep is pickled, by them for them;
# a scheme in a Python file of the user's own is run; weights of networks for metrics, which are published as pickles
# alone, are checked by hash and read by torch's restricted unpickler, or by one that admits NumPy arrays only;
# authors' checkpoints are imported by the restricted unpickler, whose refusals are pickle's errors.
EXCEPTIONS = {
    ("simulator/sweep/executors/base.py", "imports pickle"),
    ("simulator/sweep/executors/base.py", "calls pickle.loads"),
    ("simulator/sweep/executors/ray.py", "imports pickle"),
    ("simulator/sweep/executors/ray.py", "calls pickle.loads"),
    ("simulator/codecs/files.py", "calls exec"),
    ("simulator/metrics/backbones.py", "weights_only=True"),
    ("simulator/metrics/backbones.py", "imports pickle"),
    ("simulator/metrics/dists.py", "calls torch.load"),
    ("simulator/metrics/dists.py", "weights_only=True"),
    ("simulator/metrics/inception.py", "calls torch.load"),
    ("simulator/metrics/inception.py", "weights_only=True"),
    ("baselines/published/checkpoint.py", "imports pickle"),
    ("baselines/published/checkpoint.py", "calls torch.load"),
    ("baselines/published/checkpoint.py", "weights_only=True"),
}
CALLS = {"os.system", "os.popen", "torch.load", "torch.save", "eval", "exec", "yaml.load", "yaml.unsafe_load"}
CALLS |= {
    "yaml.full_load",
    "shutil.unpack_archive",
    "tempfile.mktemp",
    "subprocess.getoutput",
    "pickle.load",
    "pickle.loads",
}
METHODS = {"extractall", "extract", "_extract_member"}
KEYWORDS = {"shell", "allow_pickle", "weights_only", "trust_remote_code"}


def name_of(node: ast.AST) -> str:
    """`a.b.c` of an expression; "" where it is no plain name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return ""


def offences(path: Path, text: str) -> set[str]:
    """What a source does that none may.

    path: below the checkout; exceptions are keyed by it.
    """
    found = set()
    for node in ast.walk(ast.parse(text)):
        modules = [one.name for one in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found |= {f"imports {module}" for module in modules if module.split(".")[0] in MODULES}
        if isinstance(node, ast.Call):
            name = name_of(node.func)
            if name in CALLS or (name.startswith("os.") and name[3:].startswith(("exec", "spawn"))):
                found.add(f"calls {name}")
            if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
                found.add(f"calls .{node.func.attr}")
            found |= {f"{one.arg}={ast.unparse(one.value)}" for one in node.keywords if one.arg in KEYWORDS}
    return {what for what in found if (path.as_posix(), what) not in EXCEPTIONS}


def test_there_are_sources():
    assert len(SOURCES) > 80


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(CHECKOUT).as_posix())
def test_source_keeps_to_what_is_safe(path):
    assert offences(path.relative_to(CHECKOUT), path.read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize(
    "text",
    [
        *("import pickle", "from joblib import load", "import torch\ntorch.load(f)", "np.load(f, allow_pickle=True)"),
        *("yaml.load(text, Loader=yaml.Loader)", "os.system('ls')", "subprocess.run('ls', shell=True)", "eval('1')"),
        *("tarfile.open(f).extractall()", "archive.extract(member, '/tmp')", "os.execv('/bin/sh', [])"),
    ],
)
def test_the_check_finds(text):
    assert offences(Path("simulator/some.py"), text)
