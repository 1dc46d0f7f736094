"""What a run trains: recorded in full, compared, and enforced."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from simulator.errors import UserError
from simulator.models.training.identity import FORMAT, RESUMABLE, check_record, describe
from simulator.models.training.learner import LoopConfig

LOOP = LoopConfig(steps=3)


@dataclass(frozen=True)
class Loss:
    weight: float = 0.5
    range: tuple[float, float] = (0.0, 20.0)


def loop_record(loop: LoopConfig) -> dict[str, object]:
    return {name.removeprefix("loop."): value for name, value in describe({"loop": loop}).options.items()}


def test_options_are_told_by_name_and_come_back_from_json():
    identity = describe({"stage": 3, "uses": (16, 32), "loss": Loss(weight=0.1)})
    assert identity.options == {"stage": 3, "uses": [16, 32], "loss.weight": 0.1, "loss.range": [0.0, 20.0]}
    assert identity.differences(json.loads(json.dumps(identity.options))) == []


def test_differences_are_those_of_both_sides():
    identity = describe({"stage": 3, "start": None, "loss": Loss(weight=0.1)})
    then = {"stage": 2, "start": None, "loss.weight": 0.1, "loss.range": [0.0, 18.0], "loss.gone": 1}
    assert identity.differences(then) == ["loss.gone", "loss.range", "stage"]
    del then["start"]
    assert "start" in identity.differences(then)


@pytest.mark.parametrize("version", [None, FORMAT - 1, FORMAT + 1])
def test_record_of_another_format_is_refused(version):
    identity = describe({"loss": Loss()})
    record = {"config": loop_record(LOOP), "identity": dict(identity.options), "format": version}
    with pytest.raises(UserError, match=rf"format {version}, expected {FORMAT}\); name another --out"):
        check_record(Path("old"), record, identity, LOOP)
    check_record(Path("old"), record | {"format": FORMAT}, identity, LOOP)


def test_what_ends_or_reports_a_run_is_free():
    changes = {"minutes": 3.0, "steps": None} | {name: 7 for name in RESUMABLE - {"minutes", "steps"}}
    record = {"config": loop_record(LOOP), "identity": {}, "format": FORMAT}
    check_record(Path("x"), record, describe({}), replace(LOOP, **changes))


def test_all_that_differs_is_named_in_one_line():
    identity = dict(describe({"loss": Loss(), "stage": 1}).options)
    record = {"config": loop_record(LOOP), "identity": identity, "format": FORMAT}
    now = describe({"loss": Loss(weight=0.1), "stage": 2})
    with pytest.raises(UserError, match=r"other loss\.weight, stage, batch; restore them or name another --out"):
        check_record(Path("x"), record, now, replace(LOOP, batch=3))
    with pytest.raises(UserError, match=r"other loss\.weight, stage; "):
        check_record(Path("x"), record, now)
