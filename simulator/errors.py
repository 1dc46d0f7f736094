"""Errors that the program explains instead of showing a traceback."""


class UserError(Exception):
    """Bad input: one line that says what was wrong, what was expected and what to do.

    The command line prints it and exits with code 2.
    """


class SchemeError(RuntimeError):
    """A scheme broke the link's contract (power, budget, ledger, finite symbols): a bug of its author, not bad input.

    The command line says so in one line too, for the author may be the user.
    """
