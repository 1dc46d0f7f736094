"""Errors that the program explains instead of showing a traceback."""

import os
from collections.abc import Iterable, Iterator
from errno import EACCES, EDQUOT, EIO, EMFILE, ENFILE, ENOMEM, ENOSPC, EPERM, EROFS, ESTALE, ETIMEDOUT


class UserError(Exception):
    """Bad input: one line that says what was wrong, what was expected and what to do.

    The command line prints it and exits with code 2.
    """


class SchemeError(RuntimeError):
    """A scheme broke the link's contract (power, budget, ledger, finite symbols): a bug in the scheme, not bad input.

    The command line prints it in one line too, because the user may be the author of the scheme.
    """


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown name: "; did you mean 'lrisc'?", or nothing if no known name is similar."""
    from difflib import get_close_matches

    found = get_close_matches(word, list(known), n=1)
    return f"; did you mean '{found[0]}'?" if found else ""


MAX_CHARACTERS = 600
# Texts of machine errors that libraries wrap in their own exceptions: memory, threads, home folders, disks.
MACHINES_WORDS = (
    *("DefaultCPUAllocator: can't allocate", "can't start new thread", "uid not found", "home directory"),
    *(os.strerror(code) for code in (ENOSPC, EDQUOT, EROFS, ENOMEM, EMFILE, ENFILE, EIO)),
)
HINDRANCES = (EACCES, EPERM, EIO, ENOMEM, EMFILE, ENFILE, ESTALE, ETIMEDOUT)


def readable(name: str) -> str:
    """A file's name as text that can be stored and sent: bytes that are no UTF-8 become `\\xe9` and the like."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def visible(text: str) -> str:
    """The text with unprintable characters, including line breaks, as escapes, so that nothing is lost."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def in_one_line(text: str) -> str:
    """Make a text safe for a terminal: one line, printable, not too long. Errors may quote untrusted files."""
    line = "".join(one if one.isprintable() else " " if one.isspace() else "\N{REPLACEMENT CHARACTER}" for one in text)
    line = " ".join(line.split())
    return line if len(line) <= MAX_CHARACTERS else f"{line[: MAX_CHARACTERS // 2]} ... {line[-MAX_CHARACTERS // 2 :]}"


def kind_and_text(error: Exception) -> str:
    """An error's type and text; the type alone where there is no text, as of a `MemoryError`."""
    return f"{type(error).__name__}: {error}".rstrip(": ")


def explain(error: Exception, *own: type[Exception]) -> str:
    """One line about an error: of these kinds in its own words, of others with its type."""
    return in_one_line(str(error) if isinstance(error, own) else kind_and_text(error))


def is_the_machines(error: Exception) -> bool:
    """Whether the machine caused an error (memory, files, a missing package, a GPU), not the code that raised it.

    Such an error stops a sweep, as bad input does; others become a fault in a row. The check includes the causes of an
    error, and the operating system's text when a library wraps it in its own exception.
    """
    return any(_is_the_machines(one) for one in _chain(error))


def hindrance(error: Exception) -> str | None:
    """What kept a reader from its file in a few words, or None if the error may be due to the file's content."""
    if isinstance(error, OSError) and error.errno in HINDRANCES:
        return os.strerror(error.errno)
    if isinstance(error, MemoryError) or any(text in str(error) for text in MACHINES_WORDS):
        return kind_and_text(error)
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and the ones that it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__


def _is_the_machines(error: BaseException) -> bool:
    import torch  # here, because `--help` must not import torch

    kinds = (ImportError, OSError, MemoryError, torch.OutOfMemoryError, torch.AcceleratorError)
    return isinstance(error, kinds) or any(text in str(error) for text in MACHINES_WORDS)
