"""What tests of a stranger's codecs, channels and metrics share."""

from pathlib import Path

import torch

from simulator.__main__ import main
from simulator.link import LinkState

GUIDE = Path(__file__).parents[2] / "docs" / "extend.md"
EXAMPLES = GUIDE.parent / "examples"
STATE = LinkState("awgn", 10.0)


def refused(capfd, *arguments):
    """The one line with which the command line refuses."""
    capfd.readouterr()
    try:
        code = main(list(arguments))
    except SystemExit as refusal:
        code = refusal.code
    printed = capfd.readouterr()
    assert code == 2
    assert printed.out == ""
    lines = [line for line in printed.err.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1, printed.err
    assert lines[0].startswith("error: ")
    return lines[0]


def ramp(height=64, width=64):
    """A smooth picture [1, 3, H, W] whose mean is 1/2."""
    rows = torch.linspace(0.1, 0.9, height)[:, None]
    columns = torch.linspace(0.9, 0.1, width)
    return torch.stack([(rows + columns) / 2, rows.expand(height, width), columns.expand(height, width)])[None]
