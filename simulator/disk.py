"""Files of the user, written whole or not at all, and the cache of what can be computed or downloaded again."""

import hashlib
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path, user_data_path

from simulator.errors import UserError


def user_path(text: str) -> Path:
    """A path as a user writes it: `~` and `~NAME` are home folders, but `~tmp.png` is a file's name.

    Raises:
        UserError: the user of a `~` path does not exist.
    """
    expanded = os.path.expanduser(text)
    first, separator, _ = text.partition("/")
    if expanded == text and text.startswith("~") and (separator or text == "~") and not os.path.lexists(first):
        reason = "there is no home folder: set HOME" if first == "~" else f"there is no user '{first[1:]}'"
        raise UserError(f"'{text}' cannot be found ({reason}); write the whole path, or ./{first} for a folder here")
    return Path(expanded)


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's content, without holding it in memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_dir() -> Path:
    """Root of the cache: SIMULATOR_CACHE_DIR, else the platform's user cache folder. It may not exist yet.

    Raises:
        UserError: there is no home folder to keep it in.
    """
    return _own_folder("SIMULATOR_CACHE_DIR", "the cache", user_cache_path)


def data_dir() -> Path:
    """Root of what users import: SIMULATOR_DATA_DIR, else the platform's user data folder. It may not exist yet.

    Raises:
        UserError: there is no home folder to keep it in.
    """
    return _own_folder("SIMULATOR_DATA_DIR", "imported weights", user_data_path)


def _own_folder(variable: str, what: str, platforms: Callable[[str], Path]) -> Path:
    chosen = os.environ.get(variable)
    try:
        return user_path(chosen) if chosen else platforms("wireless-image-simulator")
    except (UserError, RuntimeError) as error:  # platformdirs raises RuntimeError
        raise UserError(f"no place for {what}: {error}; or name a folder in {variable}") from None


def is_stream(path: Path) -> bool:
    """Whether a path is a device, a pipe or the name of an open file: a rename would replace that itself."""
    return path.parent.as_posix() in ("/dev", "/dev/fd", "/proc/self/fd") or (
        path.exists() and not (path.is_file() or path.is_dir())
    )


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file atomically, creating its folder; the last of several writers wins. A stream receives the data.

    Raises OSError, for example on a full disk, and then leaves nothing behind.
    """
    if is_stream(path):
        path.write_bytes(data)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with draft.open("xb") as file:
            file.write(data)
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def write_file(path: Path, data: bytes, advice: str, write: Callable[[Path, bytes], None] = write_atomically) -> None:
    """Write a file that the user asked for, whole or not at all.

    Args:
        path, data: as `write_atomically` takes them.
        advice: what to do if it cannot be written.
        write: the writer, such as that of a results folder.

    Raises:
        UserError: it cannot be written, or its owner made it read-only.
    """
    if path.exists() and not os.access(path, os.W_OK):  # a rename would replace it all the same
        raise UserError(f"cannot write '{path}' (it is read-only); {advice}")
    try:
        write(path, data)
    except OSError as error:
        raise UserError(f"cannot write '{path}' ({error.strerror or error}); {advice}") from error


def set_aside(path: Path) -> Path:
    """Rename a file of the user to make room; returns its new path, such as `NAME.earlier-1.csv`."""
    number = 1
    while os.path.lexists(aside := path.with_name(f"{path.stem}.earlier-{number}{path.suffix}")):
        number += 1
    return path.rename(aside)


def check_not_source(target: Path | None, source: Path) -> None:
    """Raises UserError if a file to be written is the one that is read, also under another name."""
    if target is not None and target.exists() and source.exists() and target.samefile(source):
        raise UserError(f"'{target}' is the file that is read; name another file to write")


def json_text(record: dict[str, Any]) -> str:
    """A record as a JSON file for people."""
    return json.dumps(record, indent=2) + "\n"
