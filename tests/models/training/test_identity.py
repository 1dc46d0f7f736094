"""What a run trains: told in full, compared over old and new options, and held to."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from simulator.errors import UserError
from simulator.models.training.identity import RESUMABLE, check_record, describe
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
    del then["start"]  # it has no default that it could count as
    assert "start" in identity.differences(then)


def test_option_that_a_record_lacks_counts_as_its_default():
    then = {"loss.range": [0.0, 20.0]}
    assert describe({"loss": Loss()}).differences(then) == []
    assert describe({"loss": Loss(weight=0.1)}).differences(then) == ["loss.weight"]


def test_record_of_a_time_without_identities_is_taken():
    check_record(Path("old"), {"config": loop_record(LOOP)}, describe({"loss": Loss(weight=0.1)}), LOOP)


def test_loop_is_compared_by_new_options_too():
    then = loop_record(LOOP)
    del then["optimizer"]  # as it was before there was a choice
    record = {"config": then, "identity": {}}
    check_record(Path("old"), record, describe({}), LOOP)
    with pytest.raises(UserError, match=r"'old' was trained with other optimizer; restore them"):
        check_record(Path("old"), record, describe({}), replace(LOOP, optimizer="muon"))


def test_what_ends_or_reports_a_run_is_free():
    changes = {"minutes": 3.0, "steps": None} | {name: 7 for name in RESUMABLE - {"minutes", "steps"}}
    check_record(Path("x"), {"config": loop_record(LOOP)}, describe({}), replace(LOOP, **changes))


def test_all_that_differs_is_named_in_one_line():
    record = {"config": loop_record(LOOP), "identity": dict(describe({"loss": Loss(), "stage": 1}).options)}
    now = describe({"loss": Loss(weight=0.1), "stage": 2})
    with pytest.raises(UserError, match=r"other loss\.weight, stage, batch; restore them or name another --out"):
        check_record(Path("x"), record, now, replace(LOOP, batch=3))
    with pytest.raises(UserError, match=r"other loss\.weight, stage; "):
        check_record(Path("x"), record, now)
