"""docs/concepts.md: the numbers of the self-tests are those measured, and the tests named exist."""

import re
from functools import cache, partial
from types import MappingProxyType

import pytest

from simulator import selftest
from tests.docs.blocks import ROOT

PAGE = (ROOT / "docs" / "concepts.md").read_text()
ITEMS = re.findall(r"[Ii]tem\s+`([^`]+)`(?:\s+measures)?\s+`([^`]+)`", PAGE)
TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", PAGE)))


@cache
def _measured(part: str) -> MappingProxyType:
    """What `check` says of one part, by item."""
    parts = {"LDPC": selftest.check_ldpc, "LPIPS": selftest.check_lpips, "QAM": selftest.check_qam}
    checks = parts.get(part, partial(selftest.check_channel, part))()
    return MappingProxyType({check.name: check for check in checks})


def test_every_section_names_a_proof() -> None:
    *sections, limits = PAGE.split("\n## ")[1:]
    assert len(sections) == 12
    assert limits.startswith("What the numbers do not cover")
    assert len(ITEMS) == 8
    for section in sections:
        assert '!!! success "' in section
        assert "::test_" in section


@pytest.mark.slow
@pytest.mark.parametrize(("item", "shown"), ITEMS)
def test_numbers_are_those_of_the_self_test(item: str, shown: str) -> None:
    family = re.match(r"(LDPC|LPIPS) |\d+-(QAM)|(.+):", item)
    check = _measured(next(filter(None, family.groups())))[item]
    if check.passed is None:
        pytest.skip(check.measured)
    assert check.passed
    number = re.compile(r"[\d.]+(?:e-?\d+)?")
    assert number.sub("#", shown) == number.sub("#", check.measured)
    for expected, measured in zip(number.findall(shown), number.findall(check.measured), strict=True):
        assert float(measured) == pytest.approx(float(expected), rel=0.01)


@pytest.mark.parametrize(("path", "name"), TESTS)
def test_tests_that_are_named_exist(path: str, name: str) -> None:
    assert f"def {name}(" in (ROOT / path).read_text()
