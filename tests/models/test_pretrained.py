"""Released weights: what is written is what is read, and nothing else is."""

import json

import pytest
import torch
from safetensors.torch import load_file

from simulator.baselines.published import library
from simulator.errors import UserError
from simulator.models.pretrained import Weights, build_network, find_weights, load_pretrained, read_card, release


@pytest.fixture
def released(tmp_path):
    state = {"weight": torch.randn(4, 3), "count": torch.tensor([3])}
    release(tmp_path, "net", state, {"system": "test"})
    return tmp_path, state


def test_round_trip_is_half_precision(released):
    folder, state = released
    loaded, card = load_pretrained("net", folder)
    assert loaded["weight"].dtype == torch.float32
    assert torch.equal(loaded["weight"], state["weight"].half().float())
    assert torch.equal(loaded["count"], state["count"])
    assert card["system"] == "test"
    assert card["bytes"] == (folder / "net.safetensors").stat().st_size


def test_damage_is_noticed(released):
    folder, _ = released
    data = bytearray((folder / "net.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "net.safetensors").write_bytes(data)
    with pytest.raises(UserError, match="hash"):
        load_pretrained("net", folder)
    (folder / "net.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        read_card("net", folder)


def test_weights_with_a_base_hold_what_differs_from_it(released):
    folder, state = released
    base = {"name": "net", "sha256": read_card("net", folder)["sha256"]}
    other = {**state, "count": torch.tensor([4]), "more": torch.ones(2)}
    release(folder, "other", other, {"system": "test", "base": base})
    assert set(load_file(folder / "other.safetensors")) == {"count", "more"}
    loaded, _ = load_pretrained("other", folder)
    assert loaded.keys() == other.keys()
    assert torch.equal(loaded["weight"], state["weight"].half().float())
    assert torch.equal(loaded["count"], other["count"])
    release(folder, "net", {"weight": state["weight"] + 1}, {"system": "test"})
    with pytest.raises(UserError, match="another version of 'net'"):
        load_pretrained("other", folder)


def test_weights_may_have_the_name_of_the_released_ones_that_they_are_based_on(tmp_path):
    state, card = load_pretrained("lrisc-compact")
    release(tmp_path, "lrisc-compact", state, {"base": {"name": "lrisc-compact", "sha256": card["sha256"]}})
    assert not load_file(tmp_path / "lrisc-compact.safetensors")
    assert load_pretrained("lrisc-compact", tmp_path)[0].keys() == state.keys()


@pytest.mark.parametrize("base", ["x", {"name": "net"}, {"name": "other", "sha256": "SHA"}])
def test_a_damaged_base_is_explained(released, base):
    folder, state = released
    card = read_card("net", folder)
    release(folder, "other", state, {"system": "test", "base": {"name": "net", "sha256": card["sha256"]}})
    if isinstance(base, dict) and "sha256" in base:
        base["sha256"] = read_card("other", folder)["sha256"]
    (folder / "net.json").write_text(json.dumps(card | {"base": base}))  # a base of "other" goes round in a circle
    with pytest.raises(UserError, match=r"'(net|other)\.json' is damaged \('base'\)"):
        load_pretrained("net", folder)


def test_absence_is_explained(tmp_path):
    with pytest.raises(UserError, match=r"other\.json.*train and export"):
        load_pretrained("other", tmp_path)
    with pytest.raises(UserError, match="installed program"):
        load_pretrained("no-such-model")


def test_a_pickle_is_not_opened(tmp_path):
    import hashlib

    torch.save({"weight": torch.zeros(1)}, tmp_path / "net.safetensors")
    digest = hashlib.sha256((tmp_path / "net.safetensors").read_bytes()).hexdigest()
    (tmp_path / "net.json").write_text(json.dumps({"sha256": digest}))
    with pytest.raises(UserError, match="safetensors"):
        load_pretrained("net", tmp_path)


def test_overflow_is_refused(tmp_path):
    with pytest.raises(UserError, match="half precision"):
        release(tmp_path, "net", {"weight": torch.tensor([1e6])}, {})
    assert list(tmp_path.iterdir()) == []


def test_weights_are_found_by_name_folder_and_file(released):
    folder, _ = released
    assert find_weights("lrisc-compact", "lrisc") == Weights("lrisc-compact")
    for text in (folder, folder / "net", folder / "net.json", folder / "net.safetensors"):
        found = find_weights(str(text), "test")
        assert found == Weights("net", folder)
        assert found.card() == read_card("net", folder)
        assert found.load()[1] == found.card()


def test_weights_are_found_in_the_home_folder(released, monkeypatch):
    folder, _ = released
    monkeypatch.setenv("HOME", str(folder.parent))
    for text in (f"~/{folder.name}", f"~/{folder.name}/net"):
        assert find_weights(text, "test") == Weights("net", folder)
        assert library.find(text, "test") == Weights("net", folder)


def test_weights_must_be_those_of_one_system(released):
    folder, state = released
    with pytest.raises(UserError, match="no weights of it"):
        find_weights(str(folder), "lrisc")
    with pytest.raises(UserError, match="are of 'test', not of 'lrisc'"):
        find_weights(str(folder / "net"), "lrisc")
    release(folder, "other", state, {"system": "test"})
    with pytest.raises(UserError, match="2 of them: name one"):
        find_weights(str(folder), "test")
    with pytest.raises(UserError, match="no weights 'nowhere/net'"):
        find_weights("nowhere/net", "test")


def test_a_card_cannot_ask_for_more_than_its_weights():
    state = torch.nn.Linear(3, 4).state_dict()
    assert torch.equal(build_network(lambda: torch.nn.Linear(3, 4), state, "net").weight, state["weight"])
    for features in (5, 2**40):  # the second would not fit any memory
        with pytest.raises(UserError, match=r"not of the network that their card describes .*'bias' differs"):
            build_network(lambda wanted=features: torch.nn.Linear(3, wanted), state, "net")
    with pytest.raises(UserError, match="describes no network"):
        build_network(lambda: torch.nn.Linear("3", 4), state, "net")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": None}, "'model' must be a mapping"),
        ({"defaults": {}}, "must have steps"),
        ({"defaults": {"steps": 0, "gamma": 0.8}}, "a whole number from 1 to 1000"),
        ({"snr_db": None}, "'snr_db' in the model card"),
        ({"snr_db": [10, 0]}, "'snr_db' in the model card"),
        ({}, "'latent_channels' is 1000000"),
    ],
)
def test_a_card_that_does_not_describe_lrisc_is_refused(tmp_path, change, message):
    from simulator.models.lrisc.scheme import LriscScheme

    config = {"model": {"latent_channels": 10**6}, "defaults": {"steps": 1, "gamma": 0.8}, "snr_db": [0, 20]} | change
    release(tmp_path, "net", {"weight": torch.zeros(1)}, {"system": "lrisc", "config": config})
    with pytest.raises(UserError, match=message):
        LriscScheme(f"weights={tmp_path}")


@pytest.mark.parametrize("error", [OSError(30, "Read-only file system"), MemoryError("no memory")])
def test_the_machines_trouble_is_not_blamed_on_the_card(error):
    def make():
        raise error

    with pytest.raises(UserError, match=rf"cannot build the network of 'net': {type(error).__name__}") as refusal:
        build_network(make, {}, "net")
    assert "describes no network" not in str(refusal.value)
