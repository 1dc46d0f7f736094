"""What tests of several verbs share."""

from collections.abc import Callable

import pytest


@pytest.fixture
def assert_one_line(capfd: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Bad input leaves nothing on stdout, and one line on stderr that says `message`."""

    def check(message: str) -> None:
        printed = capfd.readouterr()
        assert printed.out == ""
        assert printed.err.count("\n") == 1, printed.err
        assert printed.err.startswith("error: ")
        assert message in printed.err

    return check
