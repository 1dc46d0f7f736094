"""`weights import`: every key and shape checked, modes told apart, nothing run, nothing stored that does not fit."""

import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from simulator.__main__ import main
from simulator.baselines.published.adjscc import AdjsccConfig
from simulator.baselines.published.checkpoint import check
from simulator.baselines.published.families import FAMILIES
from simulator.baselines.published.ntscc import RATES, NtsccConfig
from simulator.baselines.published.swinjscc import SwinConfig
from simulator.errors import UserError
from simulator.link import load_scheme
from simulator.spec.plugins import declarations
from tests.baselines.published.conftest import NETWORKS
from tests.baselines.published.golden import key_table
from tests.baselines.published.swin_runs import CIFAR, swin_config

PUBLISHED = [
    ("swinjscc", "SwinJSCC_w/o_SAandRA", "swinjscc", "base", SwinConfig("base", 96)),
    ("swinjscc", "SwinJSCC_w/_SA", "swinjscc", "sa", SwinConfig("sa", 96)),
    ("swinjscc", "SwinJSCC_w/_RA", "swinjscc", None, SwinConfig("ra")),
    ("swinjscc", "SwinJSCC_w/_SAandRA", "swinjscc", None, SwinConfig("sa-ra")),
    ("swinjscc", "SwinJSCC_w/_SA", "witt", "sa", SwinConfig("sa", 96)),
    ("witt-cifar", "WITT", "witt", "sa", SwinConfig("sa", 16, **CIFAR)),
    ("witt-cifar", "WITT_W/O", "witt", "base", SwinConfig("base", 16, **CIFAR)),
    ("ntscc", "default", "ntscc", None, NtsccConfig()),
    ("ntscc", "side_info", "ntscc", None, NtsccConfig(side_info=True)),
    ("adjscc", "", "adjscc", None, AdjsccConfig(8)),
    ("adjscc", "", "pdjscc-published", None, AdjsccConfig(8)),
]


def listed(table: str, mode: str) -> dict[str, torch.Tensor]:
    """A state dict with every listed key of a mode, without memory for its values (rates have theirs)."""
    golden = key_table(table)
    column, state = golden["modes"].index(mode), {}
    for key, (shape, dtype, *_, uses) in golden["keys"].items():
        if uses[column] != "-":
            state[key] = torch.zeros((), dtype=getattr(torch, dtype)).expand(shape)
        if key.endswith("rate_choice_tensor"):
            state[key] = torch.tensor(RATES)
    return state


@pytest.mark.parametrize(("table", "mode", "system", "asked", "config"), PUBLISHED)
def test_every_published_key_list_fits_its_network_both_ways(table, mode, system, asked, config):
    """Every entry that the list calls used is taken, every other one dropped, none is missing, none is left over."""
    golden = key_table(table)
    column, state = golden["modes"].index(mode), listed(table, mode)
    checked = check(state, system, asked, "the file")
    assert checked.config == config
    uses = {key: row[-1][column] for key, row in golden["keys"].items() if row[-1][column] != "-"}
    assert all(key in checked.state for key, use in uses.items() if use in "ugt")
    assert set(checked.dropped) <= {key for key, use in uses.items() if use in "rndm"}
    assert checked.state.keys() | set(checked.dropped) == uses.keys()


def test_golden_configurations_are_the_published_ones():
    assert swin_config("SwinJSCC_w/_SAandRA") == SwinConfig()


@pytest.fixture
def checkpoint(library, tmp_path, monkeypatch):
    """Writes a file of a small network and points the library to an empty place."""
    from safetensors.torch import load_file

    states = {name: load_file(library / "weights" / f"{name}.safetensors") for name in NETWORKS}
    monkeypatch.setenv("SIMULATOR_DATA_DIR", str(tmp_path / "data"))

    def write(name: str, file: str, change=lambda state: state) -> Path:
        state = change(dict(states[name]))
        path = tmp_path / file
        if path.suffix == ".safetensors":
            save_file({key: tensor.contiguous() for key, tensor in state.items()}, path)
        else:
            torch.save(state, path)
        return path

    return write


def refused(capsys, *arguments: str) -> str:
    """The one line with which an import is refused; nothing may be stored."""
    assert main(["weights", "import", *arguments]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    stored = Path(os.environ["SIMULATOR_DATA_DIR"]) / "weights"
    assert not stored.exists() or not list(stored.iterdir())
    return error


def with_leftovers(state):
    """As the authors' files are: buffers of a resolution, metrics, a wrapper's prefix."""
    state = {**state, "encoder.layers.0.blocks.1.attn_mask": torch.zeros(4, 16, 16)}
    state["distortion_loss.dist.window"] = torch.zeros(3, 1, 1, 11)
    return {f"module.{key}": tensor for key, tensor in state.items()}


@pytest.mark.parametrize("suffix", [".model", ".pth", ".pth.tar", ".safetensors"])
def test_import_stores_weights_and_card_that_a_scheme_runs(checkpoint, capsys, suffix):
    path = checkpoint("sa-ra", f"mine{suffix}", with_leftovers)
    assert main(["weights", "import", str(path), "--as", "swinjscc:mode=sa-ra", "--json"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert card["name"] == "mine"
    assert card["model"]["mode"] == "sa-ra"
    assert card["source"]["dropped"] == 2
    scheme = load_scheme("swinjscc:weights=mine")
    assert len(card["sha256"]) == len(card["source"]["sha256"]) == 64
    assert scheme.config == NETWORKS["sa-ra"][2]
    assert main(["weights", "list"]) == 0
    assert "swinjscc:weights=mine" in capsys.readouterr().out
    declared = {one.name: one for one in declarations("simulator.schemes")}
    assert str(declared["swinjscc"].options["weights"]) == "NAME; imported: mine"
    assert str(declared["ntscc"].options["weights"]) == "NAME; imported: none"


def test_wrapped_state_dicts_and_names_of_others_are_understood(checkpoint):
    path = checkpoint("adjscc", "ADJSCC_C=3.pth.tar", lambda s: {"epoch": 1, "state_dict": {
        key.replace("Encoder.", "jscc_encoder.").replace("Decoder.", "jscc_decoder."): one for key, one in s.items()
    }})  # fmt: skip
    assert main(["weights", "import", str(path), "--as", "adjscc"]) == 0
    path = checkpoint("ntscc", "new.pth", lambda s: {
        key.replace("entropy_bottleneck._matrix", "entropy_bottleneck.matrices."): one for key, one in s.items()
    })  # fmt: skip
    assert main(["weights", "import", str(path), "--as", "ntscc:snr=10"]) == 0
    assert load_scheme("ntscc:weights=new")._told == 10


def test_modes_are_asked_for_where_keys_do_not_tell(checkpoint, capsys):
    path = str(checkpoint("base", "one.model"))
    assert ":mode=base or :mode=sa" in refused(capsys, path, "--as", "witt")
    assert "base or sa, not of sa-ra" in refused(capsys, path, "--as", "swinjscc:mode=sa-ra")
    assert main(["weights", "import", path, "--as", "witt:mode=base"]) == 0
    assert load_scheme("witt:weights=one").config.mode == "base"


def test_other_networks_and_incomplete_files_are_named(checkpoint, capsys):
    assert "those of ntscc" in refused(capsys, str(checkpoint("ntscc", "a.pth")), "--as", "swinjscc")
    missing = checkpoint("ntscc", "b.pth", lambda s: {k: v for k, v in s.items() if k != "gs.outconv.bias"})
    assert "1 missing (gs.outconv.bias)" in refused(capsys, str(missing), "--as", "ntscc")
    left = checkpoint("ntscc", "c.pth", lambda s: {**s, "gs.more": torch.zeros(2)})
    assert "1 left over (gs.more)" in refused(capsys, str(left), "--as", "ntscc")
    shape = checkpoint("ntscc", "d.pth", lambda s: {**s, "gs.outconv.bias": torch.zeros(4)})
    assert "another shape (gs.outconv.bias)" in refused(capsys, str(shape), "--as", "ntscc")
    damaged = checkpoint("ntscc", "e.pth", lambda s: {**s, "gs.outconv.bias": torch.full((3,), float("nan"))})
    assert "not finite" in refused(capsys, str(damaged), "--as", "ntscc")
    tables = checkpoint("ntscc", "f.pth", lambda s: {**s, "fd.rate_choice_tensor": torch.arange(16)})
    assert "tables of rates" in refused(capsys, str(tables), "--as", "ntscc")


class _Attack:
    def __reduce__(self):
        return os.system, (f"touch {_Attack.path}",)


def test_nothing_of_a_pickle_is_run_and_truncated_files_are_told(checkpoint, tmp_path, capsys):
    _Attack.path = tmp_path / "ran"
    torch.save({"encoder.patch_embed.proj.weight": _Attack()}, tmp_path / "evil.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(_Attack()))
    for name in ("evil.pth", "plain.pth"):
        assert "could run code" in refused(capsys, str(tmp_path / name), "--as", "ntscc")
    assert not _Attack.path.exists()
    whole = checkpoint("ra", "whole.model").read_bytes()
    for length in (0, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "short.model").write_bytes(whole[:length])
        assert "damaged or truncated" in refused(capsys, str(tmp_path / "short.model"), "--as", "swinjscc")
    (tmp_path / "text.txt").write_text("weights")
    assert "is none of .model" in refused(capsys, str(tmp_path / "text.txt"), "--as", "swinjscc")
    assert "no file" in refused(capsys, str(tmp_path / "nothing.pth"), "--as", "swinjscc")
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    assert "no state dict" in refused(capsys, str(tmp_path / "list.pth"), "--as", "swinjscc")


def test_bad_words_are_explained(checkpoint, capsys):
    path = str(checkpoint("ra", "x.model"))
    assert "must be one of" in refused(capsys, path, "--as", "resnet")
    assert "no option 'rate=3'" in refused(capsys, path, "--as", "swinjscc:rate=3")
    assert "snr=loud" in refused(capsys, path, "--as", "swinjscc:snr=loud")


def test_a_name_belongs_to_one_file(checkpoint, capsys):
    first, second = checkpoint("ra", "x.model"), checkpoint("sa-ra", "y.model")
    assert main(["weights", "import", str(first), "--as", "swinjscc", "--name", "mine"]) == 0
    assert main(["weights", "import", str(first), "--as", "swinjscc", "--name", "mine"]) == 0
    capsys.readouterr()
    assert main(["weights", "import", str(second), "--as", "swinjscc", "--name", "mine"]) == 2
    assert "another file is already imported as 'mine'" in capsys.readouterr().err
    assert load_scheme("swinjscc:weights=mine").config.mode == "ra"


def test_every_family_is_a_scheme_and_refuses_what_is_not_there(library):
    for system in FAMILIES:
        with pytest.raises(UserError, match="no weights 'nobody'"):
            load_scheme(f"{system}:weights=nobody")
