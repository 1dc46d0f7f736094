"""Errors that the program explains instead of showing a traceback."""


class UserError(Exception):
    """Bad input: one line that says what was wrong, what was expected and what to do.

    The command line prints it and exits with code 2.
    """


class SchemeError(RuntimeError):
    """A scheme broke the link's contract (power, budget, ledger, finite symbols): a bug of its author, not bad input.

    The command line says so in one line too, for the author may be the user.
    """


MAX_CHARACTERS = 600


def in_one_line(text: str) -> str:
    """The text as a terminal may show it: on one line, nothing unprintable, not too long; a stranger's file may put
    anything into an error that quotes it.
    """
    line = "".join(one if one.isprintable() else " " if one.isspace() else "\N{REPLACEMENT CHARACTER}" for one in text)
    line = " ".join(line.split())
    return line if len(line) <= MAX_CHARACTERS else f"{line[: MAX_CHARACTERS // 2]} ... {line[-MAX_CHARACTERS // 2 :]}"
