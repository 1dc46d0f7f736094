"""Tables in a narrow terminal: numbers whole, names wrapped, and what was left out said."""

import io

import pytest
from rich.console import Console

from simulator.analysis.fitting import Column, FittedTable

SCHEMES = ("lrisc:steps=4:gamma=0.5:weights=compact", "bpg-ldpc:16qam-1/2", "a-name-without-any-colon-in-it")


def printed(width: int, *, schemes=SCHEMES, spare=("images",)) -> str:
    columns = [Column("scheme", is_name=True), Column("CBR", on_left=True)]
    table = FittedTable([*columns, *map(Column, ("Es/N0 dB", "LPIPS", "images", "pilots"))], spare)
    for number, scheme in enumerate(schemes):
        table.add(scheme, "1/16", str(number), f"{0.12345 + number:.5f}", str(20 + number), "")
    text = io.StringIO()
    Console(file=text, width=width).print(table)
    return text.getvalue()


@pytest.mark.parametrize("width", [200, 80, 60, 50, 40])
def test_numbers_are_whole_and_nothing_is_cut(width: int) -> None:
    text = printed(width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    assert all(number in text for number in ("0.12345", "1.12345", "2.12345"))
    joined = "".join(line.split()[0] for line in text.splitlines() if line.strip())
    assert all(scheme in joined for scheme in SCHEMES)


def test_the_note_says_what_every_row_has_in_common_and_what_was_left_out() -> None:
    assert "in every row" not in printed(200)
    narrow = printed(60)
    assert "in every row: CBR 1/16" in narrow
    assert "empty in every row: pilots" in narrow
    assert "no room for" not in narrow
    assert "no room for images; use a wider terminal or --json" in " ".join(printed(44).split())


def test_columns_go_from_the_right_when_no_more_are_spare() -> None:
    assert "no room for pilots, images, LPIPS" in " ".join(printed(26, schemes=SCHEMES[:1], spare=()).split())


def test_names_break_after_colons() -> None:
    assert [line.split()[0] for line in printed(44).splitlines() if "gamma" in line or "steps" in line] == [
        "lrisc:steps=4:",
        "gamma=0.5:",
    ]
