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


def is_the_machines(error: Exception) -> bool:
    """Whether an error tells of the machine (memory, files, a missing package, a GPU), not of the code that met it.

    Such an error stops a sweep, as bad input does; others become a fault in a row.
    """
    import torch  # here: `--help` does without

    kinds = (ImportError, OSError, MemoryError, torch.OutOfMemoryError, torch.AcceleratorError)
    # Where a CPU has no memory torch raises a plain RuntimeError.
    return isinstance(error, kinds) or "DefaultCPUAllocator: can't allocate" in str(error)
