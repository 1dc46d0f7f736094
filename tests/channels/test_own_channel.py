"""The channel that docs/channels.md shows works as it stands there."""

import re
import sys
import tomllib
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from simulator.channels import channel_identity, load_channel
from simulator.errors import UserError
from simulator.link import load_scheme, transmit
from simulator.selftest import check_channel

GUIDE = Path(__file__).parents[2] / "docs" / "channels.md"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guide's module and its entry point, as an installer would leave them."""
    blocks = dict(re.findall(r"```(python|toml)\n(.*?)```", GUIDE.read_text(), re.DOTALL))
    (tmp_path / "my_channels.py").write_text(blocks["python"])
    project = tomllib.loads(blocks["toml"])["project"]
    information = tmp_path / "my_channels-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1\n")
    entries = project["entry-points"]["simulator.channels"]
    lines = "".join(f"{name} = {target}\n" for name, target in entries.items())
    (information / "entry_points.txt").write_text(f"[simulator.channels]\n{lines}")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_channels", raising=False)


@pytest.mark.usefixtures("installed", "toys")
def test_the_guides_channel_is_a_channel_like_any_other() -> None:
    channel = load_channel("nakagami:m=3")
    assert channel.name == "nakagami:m=3"
    assert load_channel("nakagami:m=2.0").name == "nakagami"
    symbols = torch.polar(torch.ones(20_000), torch.arange(20_000.0))
    whole = channel.send(symbols, channel.realise(20_000, 5.0, 1))
    part = channel.send(symbols[:999], channel.realise(999, 5.0, 1))
    assert torch.equal(part.symbols, whole.symbols[:999])
    powers = torch.stack([channel.realise(1, 5.0, key).gain[0].abs().square() for key in range(2000)])
    assert float(powers.mean()) == pytest.approx(1, abs=0.05)
    assert float(powers.var()) == pytest.approx(1 / 3, abs=0.05)  # a Gamma law of shape m has variance 1 / m
    assert all(check.passed for check in check_channel("nakagami"))

    images = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    trip = transmit(load_scheme("toy"), images, Fraction(1, 16), channel, 20.0)
    assert trip.decoded.images.shape == images.shape
    with pytest.raises(UserError, match=r"m=0 is not allowed; give m as a number from 0\.5 to 100"):
        load_channel("nakagami:m=0")


@pytest.mark.usefixtures("installed")
def test_rows_know_a_strangers_channel_by_its_code(tmp_path: Path) -> None:
    channel = load_channel("nakagami:m=3")
    before = channel_identity(channel)
    assert before.startswith("nakagami:m=3 ")
    channel.fingerprint = lambda: "table 1"  # type: ignore[attr-defined]
    told = channel_identity(channel)
    del channel.fingerprint  # type: ignore[attr-defined]
    assert channel_identity(channel) == before != told
    with (tmp_path / "my_channels.py").open("a") as file:
        file.write("# another law\n")
    assert channel_identity(channel) != before
    assert channel_identity(load_channel("rician:K=6")) == "rician:K=6"


@pytest.mark.usefixtures("installed")
def test_rows_know_a_channel_that_a_strangers_function_makes_of_our_parts(tmp_path: Path) -> None:
    (tmp_path / "my_channels.py").write_text(
        "import torch\nfrom simulator.channels.flat import FlatChannel\n"
        "def Nakagami():\n    return FlatChannel('nakagami', lambda n, key: torch.ones(n, dtype=torch.complex64))\n"
    )
    before = channel_identity(load_channel("nakagami"))
    with (tmp_path / "my_channels.py").open("a") as file:
        file.write("# another law\n")
    assert channel_identity(load_channel("nakagami")) != before


def test_the_guide_names_every_channel_and_option() -> None:
    from simulator.spec.plugins import plugin_names

    guide = GUIDE.read_text()
    for name in plugin_names("simulator.channels"):
        family = re.sub(r"-[a-e]$", "-a", name)
        assert f"`{name}" in guide or f"`{family}" in guide
    assert "<!-- fill: options channels tdl-c -->" in guide  # the site's tables name every option (tests/docs)
