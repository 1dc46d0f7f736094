"""The published networks held to golden values: float64 to 1e-9 relative, float32 to ten times its own deviation."""

import copy
import json

import numpy as np
import pytest
import torch

from simulator.baselines.published.hyperprior import bits, rate_probability
from simulator.baselines.published.legacy_sort import index_order, legacy_order
from simulator.devices import keep_freed_memory
from tests.baselines.published import formulas
from tests.baselines.published.golden import GOLDEN, check
from tests.baselines.published.runs import run_by_name
from tests.baselines.published.swin_runs import swin_config, swin_network, swin_points


@pytest.fixture(scope="module", autouse=True)
def memory():
    """As the schemes do: a third of the time of the largest networks would go into blocks that the system zeroes."""
    keep_freed_memory()


def _runs(name: str) -> list:
    golden = json.loads((GOLDEN / f"golden-{name}.json").read_text())
    models = golden.get("models") or {name: golden}
    runs = [(f"{model} {run}", one) for model, body in models.items() for run, one in body["runs"].items()]
    large = [pytest.mark.slow] if name == "ntscc" else []
    return [
        pytest.param(title, run, id=title, marks=large if run["height"] > 128 else [])
        for title, run in runs
        if "points" in run and title != "WITT D"  # as `test_witt_is_swinjscc_that_adapts_to_the_snr_alone` has it
    ]


@pytest.mark.parametrize(("title", "run"), [one for n in ("swinjscc", "witt", "ntscc", "adjscc") for one in _runs(n)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
def test_network_holds_its_golden_values(title, run, dtype):
    assert check(run["points"], run_by_name(title, run, dtype), dtype == torch.float64) == []


def test_witt_is_swinjscc_that_adapts_to_the_snr_alone():
    """The same network and the same golden values, which are computed once."""
    assert swin_config("WITT") == swin_config("SwinJSCC_w/_SA")
    witt, swin = (json.loads((GOLDEN / f"golden-{name}.json").read_text())["models"] for name in ("witt", "swinjscc"))
    assert witt["WITT"]["runs"]["D"] == swin["SwinJSCC_w/_SA"]["runs"]["D"]


def test_a_wrong_network_is_told_from_the_right_one():
    """The tolerance can fail: layer norm with eps 1e-6 is off by 6e-5 at the worst point."""
    golden = json.loads((GOLDEN / "golden-witt.json").read_text())
    name = "WITT (CIFAR-10 size, C=16)"
    run, config = golden["models"][name]["runs"]["A"], swin_config(name)
    net = copy.deepcopy(swin_network(config))
    for module in net.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-6
    assert check(run["points"], swin_points(config, run, torch.float64, net), exact=True)


@pytest.mark.parametrize("rate", ["32", "96"])
@pytest.mark.parametrize(("ties", "suffix"), [("legacy", "legacy_cuda"), ("index", "index_order")])
def test_ties_in_the_mask_follow_the_named_rule(rate, ties, suffix):
    runs = json.loads((GOLDEN / "golden-swinjscc.json").read_text())["models"]["SwinJSCC_w/_SAandRA"]["runs"]
    expected, config = runs["tie"]["by_rate"][rate], swin_config("SwinJSCC_w/_SAandRA")
    net = copy.deepcopy(swin_network(config))
    saturated = torch.tensor([c for c in range(320) if 7 * c % 320 < 192])
    net.encoder.sm_list[7].bias[saturated] = 60.0
    run = {**runs["A"], "rate": int(rate)}
    points = swin_points(config, run, torch.float64, net, ties)
    assert points["mask_channels"] == [expected[f"selected_{suffix}"]]
    assert int((points["enc.rate_scores"] == 64).sum()) == expected["n_saturated"]
    assert check(expected[f"points_{suffix}"], points, exact=True) == []


def _keys(rule: str, count: int) -> np.ndarray:
    index = np.arange(count)
    if rule.startswith("-["):
        return -np.array(json.loads(rule[1:]), dtype=np.float32)
    formulas_by_rule = {
        "key[c]=1 if 7c mod 320 < 192 else c/1000": np.where(7 * index % 320 < 192, 1, index / 1000),
        "key[c]=(c*c) mod 3, c=0..319": index * index % 3,
        "key[c]=(5*c*c+3*c) mod 7, c=0..319": (5 * index * index + 3 * index) % 7,
    }
    return formulas_by_rule.get(rule, np.ones(count)).astype(np.float32)


@pytest.mark.parametrize(
    "case", json.loads((GOLDEN / "golden-legacy-sort.json").read_text())["cases"], ids=lambda c: c["name"][:24]
)
def test_legacy_sort_orders_ties_as_old_kernels_did(case):
    keys = _keys(case["keys"], case["n"])
    order = legacy_order(keys)
    assert order.tolist() == case["legacy_cuda_order"]
    assert (np.diff(keys[order]) <= 0).all()


def test_index_order_puts_the_lowest_index_first():
    assert index_order(np.array([1.0, 3.0, 1.0, 3.0])).tolist() == [1, 3, 0, 2]


def test_rate_probabilities_are_those_of_float32_with_one_plus_erf():
    table = json.loads((GOLDEN / "golden-ntscc.json").read_text())["rate_probability_table_float32"]
    for row in table:
        deviation = torch.tensor(row["deviation"], dtype=torch.float32)
        scale = torch.full_like(deviation, row["scale_param"])
        chance = rate_probability(row["sign"] * deviation, scale, torch.zeros_like(deviation))
        # One unit in the last place of Phi, which erf may be off by.
        assert torch.allclose(chance, torch.tensor(row["probability_float32"]), rtol=0, atol=6e-8)
        assert torch.allclose(bits(torch.tensor(row["probability_float32"])), torch.tensor(row["bits_float32"]).abs())


def test_formula_images_are_in_range():
    assert 0 <= float(formulas.images(2, 32, 48).min()) < float(formulas.images(2, 32, 48).max()) <= 1
