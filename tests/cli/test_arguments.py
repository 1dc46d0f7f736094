"""Arguments mean what people write, and refusals say what to write instead."""

from argparse import ArgumentParser, ArgumentTypeError
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.cli import arguments


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0:15", tuple(float(n) for n in range(16))),
        ("-2:2:2", (-2.0, 0.0, 2.0)),
        ("0:1:0.3", (0.0, 0.3, 0.6, 0.9)),
        ("0:0.3:0.1", (0.0, 0.1, 0.2, 0.3)),
        ("10,0,5,5", (0.0, 5.0, 10.0)),
        ("0:2,7.5", (0.0, 1.0, 2.0, 7.5)),
        ("3", (3.0,)),
        ("-0", (0.0,)),
    ],
)
def test_snr_grid(text, expected):
    values = arguments.snr_grid(text)
    assert values == expected
    assert str(values) == str(expected)  # no -0.0


@given(first=st.integers(-90, 90), count=st.integers(0, 9), step=st.integers(1, 900))
def test_snr_range_has_both_ends_and_even_steps(first, count, step):
    last = (first * 1000 + count * step) / 1000
    values = arguments.snr_grid(f"{first}:{last}:{step / 1000}")
    assert len(values) == count + 1
    assert (values[0], values[-1]) == (first, last)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("15:0", r"range '15:0' is empty; write the lower SNR first, such as 0:15"),
        ("0:15:0", "step 0"),
        ("0:15:-1", "step -1"),
        ("0:1:2:3", "FIRST:LAST"),
        ("", "not an SNR"),
        ("ten", "not an SNR"),
        ("1,,2", "not an SNR"),
        ("nan", "must lie in"),
        ("inf", "must lie in"),
        ("101", "must lie in"),
        ("1e-9", "six decimals"),
        ("0:99:0.0001", "at most 1000"),
    ],
)
def test_snr_grid_refuses(text, message):
    with pytest.raises(ArgumentTypeError, match=message):
        arguments.snr_grid(text)


@pytest.mark.parametrize(
    ("text", "expected"), [("1/16", Fraction(1, 16)), ("0.0625", Fraction(1, 16)), (".5", Fraction(1, 2))]
)
def test_cbr(text, expected):
    assert arguments.cbr(text) == expected


@pytest.mark.parametrize("snr", ["-5:5", "-5,0", "-2.5", "-.5"])
def test_negative_snrs_need_no_equals_sign(snr):
    from simulator.__main__ import build_parser

    assert build_parser().parse_args(["sweep", "--snr", snr, "--json"]).snr == arguments.snr_grid(snr)


def test_cbr_list_is_sorted_and_unique():
    assert arguments.cbr_list("1/16,0.0625,1/24") == (Fraction(1, 24), Fraction(1, 16))


@pytest.mark.parametrize("text", ["0", "-1/16", "-0.1", "0.51", "2/3", "1/0", "1/00", "x", "", "nan", "1e-9", "1//2"])
def test_cbr_refuses(text):
    with pytest.raises(ArgumentTypeError, match=r"\(0, 1/2\]"):
        arguments.cbr(text)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (arguments.positive_int, "0"),
        (arguments.positive_int, "1.5"),
        (arguments.seed, "-1"),
        (arguments.seed, "9" * 30),
        (arguments.crop_side, "8"),
        (arguments.device, "gpu"),
        (arguments.name_list, "a,,b"),
    ],
)
def test_refusals_are_one_line(parse, text):
    with pytest.raises(ArgumentTypeError) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


def test_repeated_lists_add_up_and_replace_the_default():
    parser = ArgumentParser()
    option = {"type": arguments.name_list, "action": arguments.ExtendUnique}
    parser.add_argument("--scheme", default=("d",), **option)
    assert parser.parse_args([]).scheme == ("d",)
    assert parser.parse_args(["--scheme", "a,b", "--scheme", "c,a"]).scheme == ("a", "b", "c")
