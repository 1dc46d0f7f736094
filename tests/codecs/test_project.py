"""Rows of a `torch:` file are reused only while all that it imports is the same, wherever and whenever it does."""

import importlib.util
import os
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from safetensors.torch import save_file

from simulator.link import load_scheme
from simulator.sweep import run_sweep
from simulator.sweep.inputs import SweepConfig

pytestmark = pytest.mark.usefixtures("quick_start")

CODEC = """
import torch
from simulator.codecs import SymbolCodec

class Codec(SymbolCodec):
    stride = 4
    def encode(self, images, snr_db):
        {inside}
        return torch.nn.functional.avg_pool2d(images, 4) - LEVEL
    def decode(self, symbols, snr_db, noise_variance, size):
        {inside}
        small = torch.view_as_real(symbols).reshape(1, 3, size[0] // 4, size[1] // 4)
        return torch.nn.functional.interpolate(small * 0.2 + LEVEL, scale_factor=4)
"""
IMPORTS = {
    "beside, in a method": ("codecs/helper.py", "from helper import LEVEL"),
    "in another folder": ("lib/deep/helper.py", "from lib.deep.helper import LEVEL"),
    "of a helper's method": ("codecs/inner.py", "from helper import level; LEVEL = level()"),
    "by a name in quotes": ("codecs/helper.py", "import importlib; LEVEL = importlib.import_module('helper').LEVEL"),
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "codecs").mkdir()
    return tmp_path


@pytest.fixture
def config(photographs):
    return SweepConfig(snrs_db=(30.0,), cbrs=(Fraction(1, 32),), images=str(photographs), lpips="none", workers=1)


def write(path, level):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"LEVEL = {level}\n")


def run(config, folder):
    notes = []
    rows = run_sweep(config, folder, notify=notes.append).rows
    assert not any(row.fault for row in rows), rows[0].fault
    return [row.psnr_db for row in rows], notes


# With a time limit even a single worker is a separate process.
HERE, ELSEWHERE = None, 600.0
CASES = [(HERE, *case) for case in IMPORTS.values()] + [(ELSEWHERE, *IMPORTS["in another folder"])]


@pytest.mark.parametrize(("limit", "file", "inside"), CASES)
def test_a_helper_that_changed_makes_new_rows(here, config, limit, file, inside):
    if "inner" in file:
        (here / "codecs" / "helper.py").write_text("def level():\n    from inner import LEVEL\n    return LEVEL\n")
    (here / "codecs" / "mine.py").write_text(CODEC.format(inside=inside))
    config = replace(config, schemes=("torch:codecs/mine.py:Codec",), timeout_s=limit)
    write(here / file, 0.5)
    before, _ = run(config, here / "out")
    again, notes = run(config, here / "out")
    assert again == before
    assert "4 of 4 rows are finished already" in notes
    write(here / file, 0.25)
    after, notes = run(config, here / "out")
    assert not any("finished already" in note for note in notes)
    assert after != before
    assert after == run(replace(config, timeout_s=HERE), here / "anew")[0]
    assert not {"helper", "inner", "lib", "lib.deep"} & sys.modules.keys()


BY_PATH = "spec = util.spec_from_file_location('odd', 'lib/helper.py'); odd = util.module_from_spec(spec); "
LIB = "import os, sys; lib = os.path.abspath('lib')"
DYNAMIC = {
    "a folder that the file adds": f"{LIB}; sys.path.insert(0, lib); from helper import LEVEL",
    "... at the end": f"{LIB}; sys.path.append(lib); from helper import LEVEL",
    "a path": f"from importlib import util; {BY_PATH}spec.loader.exec_module(odd); LEVEL = odd.LEVEL",
    "a script": "import runpy; LEVEL = runpy.run_path('lib/helper.py')['LEVEL']",
    "a name that is computed": "import importlib; LEVEL = importlib.import_module('lib.' + 'helper').LEVEL",
}


@pytest.mark.parametrize(("way", "limit"), [*((way, HERE) for way in DYNAMIC), ("a path", ELSEWHERE)])
def test_code_that_runs_while_the_file_is_loaded_is_known_however_it_is_imported(here, config, way, limit):
    (here / "codecs" / "mine.py").write_text(DYNAMIC[way] + CODEC.format(inside="pass"))
    config = replace(config, schemes=("torch:codecs/mine.py:Codec",), timeout_s=limit)
    path = list(sys.path)
    write(here / "lib" / "helper.py", 0.5)
    before, _ = run(config, here / "out")
    again, notes = run(config, here / "out")
    assert again == before
    assert "4 of 4 rows are finished already" in notes
    write(here / "lib" / "helper.py", 0.25)
    after, notes = run(config, here / "out")
    assert after != before
    assert not any("finished already" in note for note in notes)
    assert sys.path == path


@pytest.mark.parametrize("way", DYNAMIC)
def test_rows_of_code_that_only_methods_import_are_not_reused(here, config, way):
    (here / "codecs" / "mine.py").write_text(CODEC.format(inside=DYNAMIC[way]))
    config = replace(config, schemes=("torch:codecs/mine.py:Codec",))
    path = list(sys.path)
    write(here / "lib" / "helper.py", 0.5)
    before, notes = run(config, here / "out")
    assert any("uses helper.py only while it runs" in note for note in notes)
    assert run(config, here / "out")[0] == before
    write(here / "lib" / "helper.py", 0.25)
    assert run(config, here / "out")[0] != before
    assert sys.path == path


def test_options_may_choose_what_is_imported(here, config):
    choosing = "import importlib\n" + CODEC.format(inside="LEVEL = self.level")
    method = "    def __init__(self, name):\n        self.level = importlib.import_module(name).LEVEL\n"
    (here / "codecs" / "mine.py").write_text(choosing + method)
    for name, level in (("a", 0.5), ("b", 0.25)):
        write(here / f"{name}.py", level)
    schemes = tuple(f"torch:codecs/mine.py:Codec:{name}" for name in "ab")
    before, _ = run(replace(config, schemes=schemes), here / "out")
    write(here / "b.py", 0.1)
    after, notes = run(replace(config, schemes=schemes), here / "out")
    assert "4 of 8 rows are finished already" in notes
    assert (after[:4], after[4:] == before[4:]) == (before[:4], False)


def test_rows_of_an_import_that_no_statement_names_are_not_reused(here, config):
    inside = "import importlib; LEVEL = importlib.import_module('hel' + 'per').LEVEL"
    (here / "codecs" / "mine.py").write_text(CODEC.format(inside=inside))
    config = replace(config, schemes=("torch:codecs/mine.py:Codec",))
    write(here / "codecs" / "helper.py", 0.5)
    before, notes = run(config, here / "out")
    assert any("uses helper.py only while it runs" in note for note in notes)
    write(here / "codecs" / "helper.py", 0.25)
    config = replace(config, timeout_s=ELSEWHERE)
    after, notes = run(config, here / "out")
    assert "4 rows were made with helper.py, which may have changed unnoticed; they are computed again" in notes
    assert after != before


def test_two_files_with_helpers_of_one_name_keep_them_apart(here, config):
    for folder, level in (("a", 0.5), ("b", 0.1)):
        write(here / folder / "helper.py", level)
        (here / folder / "mine.py").write_text(CODEC.format(inside="from helper import LEVEL"))
    schemes = [f"torch:{folder}/mine.py:Codec" for folder in "ab"]
    together, _ = run(replace(config, schemes=tuple(schemes)), here / "both")
    alone = [run(replace(config, schemes=(one,)), here / f"alone-{index}")[0] for index, one in enumerate(schemes)]
    assert together == [*alone[0], *alone[1]]
    assert alone[0] != alone[1]


READ = "LEVEL = float(open('data/level.txt').read())"
OWN = "    def fingerprint(self):\n        return open('data/level.txt').read()\n"
# Where the file is read: how the code begins, what methods do, what the class has besides.
READS = {
    "while the file is loaded": (READ, "pass", ""),
    "where the object is made": (
        "",
        "LEVEL = self.level",
        f"    def __init__(self):\n        {READ}; self.level = LEVEL\n",
    ),
    "in methods and in fingerprint": ("", READ, OWN),
}


@pytest.mark.parametrize(
    ("where", "limit"), [*((where, HERE) for where in READS), ("where the object is made", ELSEWHERE)]
)
def test_data_that_is_read_while_the_object_is_made_is_known(here, config, where, limit):
    start, inside, method = READS[where]
    (here / "codecs" / "mine.py").write_text(start + CODEC.format(inside=inside) + method)
    (here / "data").mkdir()
    (here / "data" / "level.txt").write_text("0.5")
    config = replace(config, schemes=("torch:codecs/mine.py:Codec",), timeout_s=limit)
    before, notes = run(config, here / "out")
    assert not any("only while it runs" in note for note in notes)
    again, notes = run(config, here / "out")
    assert again == before
    assert "4 of 4 rows are finished already" in notes
    (here / "data" / "level.txt").write_text("0.25")
    after, notes = run(config, here / "out")
    assert after != before
    assert not any("finished already" in note for note in notes)


@pytest.mark.parametrize("limit", [HERE, ELSEWHERE])
def test_rows_of_data_that_only_methods_read_are_not_reused(here, config, limit):
    (here / "codecs" / "mine.py").write_text(CODEC.format(inside=READ))
    (here / "data").mkdir()
    (here / "data" / "level.txt").write_text("0.5")
    config = replace(config, schemes=("torch:codecs/mine.py:Codec",), timeout_s=limit)
    before, notes = run(config, here / "out")
    assert any("uses level.txt only while it runs" in note for note in notes)
    (here / "data" / "level.txt").write_text("0.25")
    after, notes = run(config, here / "out")
    assert after != before
    assert any("4 rows were made with level.txt, which may have changed unnoticed" in note for note in notes)


def _torchscript(path, level):
    (path.parent / "module.py").write_text(
        "import torch\n\nclass Holder(torch.nn.Module):\n    def forward(self, x):\n        return x\n"
    )
    spec = importlib.util.spec_from_file_location("module", path.parent / "module.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    holder = module.Holder()
    holder.register_buffer("level", torch.tensor(level))
    torch.jit.save(torch.jit.script(holder), path)


def _database(path, level):
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("INSERT INTO t VALUES (?)", (level,))


WEIGHTS = {
    "safetensors": (
        lambda path, level: save_file({"level": torch.tensor([level])}, path),
        "from safetensors.torch import load_file; LEVEL = float(load_file('{path}')['level'])",
    ),
    "TorchScript": (_torchscript, "LEVEL = float(torch.jit.load('{path}').level)"),
    "SQLite": (_database, "import sqlite3; LEVEL = sqlite3.connect('{path}').execute('SELECT x FROM t').fetchone()[0]"),
    "torch": (lambda path, level: torch.save(level, path), "LEVEL = torch.load('{path}')"),
    "a program": (
        lambda path, level: path.write_text(str(level)),
        "import subprocess; LEVEL = float(subprocess.run(['cat', '{path}'], capture_output=True).stdout)",
    ),
    "a shell": (
        lambda path, level: path.write_text(str(level)),
        "import os; LEVEL = float(os.popen('cat {path}').read())",
    ),
}


@pytest.mark.parametrize("when", ["while it is made", "in methods"])
@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights_beside_the_project_and_whoever_opens_them_are_known(here, config, kind, when):
    """The project is a folder below; most of these files are opened by code that is not Python."""
    write_weights, inside = WEIGHTS[kind]
    project = here / "project"
    (project / "codecs").mkdir(parents=True)
    inside = inside.format(path=here / "weights.bin")
    made = "" if when == "in methods" else f"\n    def __init__(self):\n        {inside}; self.level = LEVEL\n"
    (project / "codecs" / "mine.py").write_text(
        CODEC.format(inside=inside if when == "in methods" else "LEVEL = self.level").replace(
            "    stride = 4\n", f"    stride = 4\n{made}"
        )
    )
    os.chdir(project)
    config = replace(config, schemes=("torch:codecs/mine.py:Codec",))
    write_weights(here / "weights.bin", 0.5)
    before, _ = run(config, here / "out")
    same, notes = run(config, here / "out")
    assert same == before
    assert not any("changed while" in note for note in notes)
    write_weights(here / "weights.bin", 0.25)
    after, _ = run(config, here / "out")
    assert after != before
    assert after == run(config, here / "fresh")[0]


def test_a_hidden_file_of_the_project_is_data(here, config):
    (here / "codecs" / "mine.py").write_text(CODEC.format(inside="LEVEL = float(open('.level').read())"))
    config = replace(config, schemes=("torch:codecs/mine.py:Codec",))
    found = []
    for level in ("0.5", "0.25"):
        (here / ".level").write_text(level)
        found.append(run(config, here / "out")[0])
    assert found[0] != found[1]


SCRATCH = "open('scratch', 'w').write('0.5'); LEVEL = float(open('scratch').read())"
CACHED = "LEVEL = float(open('.cache/level').read())"


@pytest.mark.parametrize("inside", [SCRATCH, CACHED, "LEVEL = 0.5; open('/proc/self/stat').read()"])
def test_what_a_codec_writes_itself_caches_and_the_systems_files_are_no_data(here, config, inside):
    (here / "codecs" / "mine.py").write_text(CODEC.format(inside=inside))
    (here / ".cache").mkdir()
    (here / ".cache" / "level").write_text("0.5")
    config = replace(config, schemes=("torch:codecs/mine.py:Codec",))
    before, notes = run(config, here / "out")
    assert not any("only while it runs" in note for note in notes)
    again, notes = run(config, here / "out")
    assert again == before
    assert "4 of 4 rows are finished already" in notes


def test_an_unchanged_file_is_the_same_however_often_it_is_loaded(here):
    write(here / "lib" / "helper.py", 0.5)
    (here / "codecs" / "mine.py").write_text(CODEC.format(inside="pass") + "\nfrom lib.helper import LEVEL\n")
    first, second = (load_scheme("torch:codecs/mine.py:Codec").fingerprint() for _ in range(2))
    assert first == second
