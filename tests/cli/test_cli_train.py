"""`train` and `data` as a person meets them: what is wrong is said in one line."""

import pytest

from simulator.__main__ import main

CONFIG = "experiments/train/deepjscc.yaml"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["deepjscc", "--config", "nowhere.yaml", "--data", "x"], "no configuration 'nowhere.yaml'"),
        (["deepjscc", "--config", CONFIG], "--data"),
        (["deepjscc", "--config", CONFIG, "--data", "nowhere"], "no training data at 'nowhere'"),
        (["deepjscc", "--config", CONFIG, "--data", "x", "--set", "loop.bach=1"], "'bach'"),
        (["deepjscc", "--config", CONFIG, "--data", "x", "--stage", "99"], "no stage 99"),
        (["deepjscc", "--config", CONFIG, "--out", "nowhere", "--export", "x"], "train first"),
        (["jpeg", "--config", CONFIG, "--data", "x"], "unknown trainable system 'jpeg'"),
    ],
)
def test_bad_training_is_explained(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "soon"])
def test_bad_minutes_are_refused(minutes, capsys):
    with pytest.raises(SystemExit) as refusal:
        main(["train", "deepjscc", "--config", CONFIG, f"--minutes={minutes}"])
    assert refusal.value.code == 2
    assert "number of minutes" in capsys.readouterr().err


def test_data_get_explains_itself(capsys):
    with pytest.raises(SystemExit) as refusal:
        main(["data", "get", "imagenet"])
    assert refusal.value.code == 2
    assert main(["data", "get", "kodak", "--out", "x"]) == 2
    assert "KODAK_DIR" in capsys.readouterr().err


def test_data_get_finds_kodak_that_is_there(kodak_dir, capsys):
    assert main(["data", "get", "kodak"]) == 0
    assert str(kodak_dir) in capsys.readouterr().out
