"""Configurations: files, overrides, and what is refused of them."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from simulator.errors import UserError
from simulator.spec.configuration import build, check_keys, read_configuration


@dataclass(frozen=True)
class Options:
    count: int = 1
    rate: float = 0.5
    budget: float | None = None
    sizes: tuple[int, ...] = ()
    span: tuple[float, float] = (0.0, 1.0)
    fast: bool = False

    def __post_init__(self) -> None:
        if self.count < 0:
            raise UserError("count must not be negative")


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("system: one\nloop: {batch: 4}\nstages:\n  - {uses: 1}\n  - {uses: 2}\n")
    return path


def test_shipped_files_are_found_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # away from the checkout
    assert read_configuration(Path("experiments/train/deepjscc.yaml"))["system"] == "deepjscc"


def test_overrides_reach_mappings_and_lists(file):
    changes = ["loop.batch=8", "loop.rate=1.0e-3", "stages.2.uses=[1, 2]", "stages.1.loop.minutes=5", "name=x=y"]
    assert read_configuration(file, changes) == {
        "system": "one",
        "loop": {"batch": 8, "rate": 1e-3},
        "stages": [{"uses": 1, "loop": {"minutes": 5}}, {"uses": [1, 2]}],
        "name": "x=y",
    }


def test_override_changes_one_of_the_sections_that_share_an_alias(tmp_path):
    path = tmp_path / "shared.yaml"
    path.write_text("stages:\n- {loop: &one {steps: 3}}\n- {loop: *one}\n- {loop: {<<: *one, batch: 2}}\n")
    stages = read_configuration(path, ["stages.2.loop.steps=9"])["stages"]
    assert [stage["loop"] for stage in stages] == [{"steps": 3}, {"steps": 9}, {"steps": 3, "batch": 2}]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ("loop", "key=value"),
        ("=3", "key=value"),
        ("stages.3.uses=1", "'3' must be a number from 1 to 2"),
        ("stages.x=1", "'x' must be a number"),
        ("system.x=1", "nothing below 'system'"),
        ("loop.batch.x.y=1", "nothing below 'batch'"),
        ("loop.batch=[", "the value of --set loop.batch is not valid YAML"),
        ('loop.batch=!!int ""', "the value of --set loop.batch is not valid YAML"),
        ("loop.batch=!!bool x", "the value of --set loop.batch is not valid YAML"),
        ("loop.batch=!!timestamp x", "the value of --set loop.batch is not valid YAML"),
    ],
)
def test_bad_overrides_are_explained(file, change, match):
    with pytest.raises(UserError, match=match):
        read_configuration(file, [change])


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"a: [", "not valid YAML"),
        (b"- 1", "must be a YAML mapping"),
        (b"", "must be a YAML mapping"),
        (b"a: \xff", "cannot read"),
        (b"a: !!python/object/apply:os.getcwd []", "not valid YAML"),
    ],
)
def test_bad_files_are_explained(file, content, match):
    file.write_bytes(content)
    with pytest.raises(UserError, match=match):
        read_configuration(file)


def test_numbers_need_no_point(file):
    file.write_text("rate: 1e-3\nlarge: 2E5\nname: 1e-3x\n")
    assert read_configuration(file) == {"rate": 1e-3, "large": 2e5, "name": "1e-3x"}


def test_absence_is_explained(tmp_path):
    with pytest.raises(UserError, match="no configuration"):
        read_configuration(tmp_path / "none.yaml")


def test_unknown_keys_are_named_with_the_known_ones():
    check_keys({"a": 1}, ("a", "b"), "'loop'")
    with pytest.raises(UserError, match="unknown key 'c' in 'loop'; known: a, b"):
        check_keys({"a": 1, "c": 2}, ("a", "b"), "'loop'")
    with pytest.raises(UserError, match="'loop' must be a mapping with keys among: a, b"):
        check_keys([1], ("a", "b"), "'loop'")


def test_values_become_those_of_their_fields():
    built = build(Options, {"count": 2, "rate": 1e-3, "budget": 3, "sizes": [1, 2], "span": [0, 1]}, "here")
    assert built == Options(2, 1e-3, 3.0, (1, 2), (0.0, 1.0))
    assert isinstance(built.budget, float)
    assert build(Options, {"budget": None}, "here") == Options()


@pytest.mark.parametrize(
    "values",
    [
        {"count": "abc"},
        {"count": 2.5},
        {"count": True},
        {"rate": "x"},
        {"rate": True},
        {"rate": None},
        {"sizes": 3},
        {"fast": 1},
    ],
)
def test_values_of_another_type_are_refused(values):
    ((name, value),) = values.items()
    with pytest.raises(UserError) as error:
        build(Options, values, "here")
    assert str(error.value).startswith(f"here: '{name}' is {value!r}; it must be")


def test_entries_and_ranges_are_held_too():
    with pytest.raises(UserError, match="'sizes', entry 2 is 'x'; it must be a valid integer"):
        build(Options, {"sizes": [1, "x"]}, "here")
    with pytest.raises(UserError, match="here: 'span', entry 2 is missing"):
        build(Options, {"span": [1]}, "here")
    with pytest.raises(UserError, match="negative"):
        build(Options, {"count": -1}, "here")
