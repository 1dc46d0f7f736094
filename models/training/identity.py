"""What a run trains, kept in its checkpoints: a run cannot be continued or released as another."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from simulator.errors import UserError
from simulator.models.training.learner import LoopConfig

FORMAT = 1  # of the record in a checkpoint; others are refused
# What may differ between a run and its continuation: when it ends and how it reports, not what it computes.
RESUMABLE = {"minutes", "steps", "validate_every_s", "checkpoint_every_s", "log_every_s", "collapse_after"}


@dataclass(frozen=True)
class Identity:
    """What is optimised, and from where: all that makes two runs on the same images with the same loop differ.

    Attributes:
        options: JSON-able values by name, such as "loss.perception".
    """

    options: Mapping[str, Any] = field(default_factory=dict)

    def differences(self, recorded: Mapping[str, Any]) -> list[str]:
        """Names of the options that differ in a record."""
        now, absent = self.options, object()
        return sorted(n for n in recorded.keys() | now.keys() if recorded.get(n, absent) != now.get(n, absent))


def describe(sections: Mapping[str, Any]) -> Identity:
    """The identity made of some sections: values by name, or dataclasses, whose fields become "SECTION.FIELD"."""
    options: dict[str, Any] = {}
    for name, section in sections.items():
        if is_dataclass(section):
            options |= {f"{name}.{one.name}": _plain(getattr(section, one.name)) for one in fields(section)}
        else:
            options[name] = _plain(section)
    return Identity(options)


def check_record(path: Path, record: Mapping[str, Any], identity: Identity, loop: LoopConfig | None = None) -> None:
    """Check that the record of a checkpoint is of what is to be trained or released.

    Args:
        path: of the checkpoint, for the error.
        record: of the checkpoint.
        identity: of the stage as configured now.
        loop: that of the continuation; its `RESUMABLE` options are free. None when nothing will be trained.

    Raises:
        UserError: something else was trained (it names every option that differs), or the record has another format.
    """
    if record.get("format") != FORMAT:
        raise UserError(
            f"'{path}' was written by another version of this program (format {record.get('format')}, expected "
            f"{FORMAT}); name another --out"
        )
    changed = identity.differences(record["identity"])
    if loop is not None:
        then = {f"loop.{name}": value for name, value in record["config"].items()}
        names = [name.removeprefix("loop.") for name in describe({"loop": loop}).differences(then)]
        changed += [name for name in names if name not in RESUMABLE]
    if changed:
        raise UserError(f"'{path}' was trained with other {', '.join(changed)}; restore them or name another --out")


def _plain(value: Any) -> Any:
    """As it comes back from JSON."""
    return list(value) if isinstance(value, tuple) else value
