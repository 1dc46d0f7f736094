"""What a run trains, kept in its checkpoints: nothing continues or releases a run as if it were another."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from simulator.errors import UserError
from simulator.models.training.learner import LoopConfig

# What may differ between a run and its continuation: when it ends and how it reports, not what it computes.
RESUMABLE = {"minutes", "steps", "validate_every_s", "checkpoint_every_s", "log_every_s", "collapse_after"}


@dataclass(frozen=True)
class Identity:
    """What is optimised, and from where: all that makes two runs on the same images with the same loop differ.

    Attributes:
        options: JSON-able values by name, such as "loss.perception".
        defaults: what the options of a record count as that was written before they existed.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def differences(self, recorded: Mapping[str, Any] | None) -> list[str]:
        """Names of the options that a record has otherwise; none if it is of a time when none were recorded."""
        if recorded is None:
            return []
        then, now, absent = {**self.defaults, **recorded}, self.options, object()
        return sorted(name for name in then.keys() | now.keys() if then.get(name, absent) != now.get(name, absent))


def describe(sections: Mapping[str, Any]) -> Identity:
    """The identity made of some sections: values by name, or dataclasses, whose fields become "SECTION.FIELD"."""
    options, defaults = {}, {}
    for name, section in sections.items():
        if is_dataclass(section):
            for one in fields(section):
                options[f"{name}.{one.name}"] = _plain(getattr(section, one.name))
                if one.default is not MISSING:
                    defaults[f"{name}.{one.name}"] = _plain(one.default)
        else:
            options[name] = _plain(section)
    return Identity(options, defaults)


def check_record(path: Path, record: Mapping[str, Any], identity: Identity, loop: LoopConfig | None = None) -> None:
    """Hold the record of a checkpoint to what is to be trained or released.

    Args:
        path: of the checkpoint, for the error.
        record: what it says.
        identity: what is asked for.
        loop: that of the continuation; its `RESUMABLE` options are free. None when nothing will be trained.

    Raises:
        UserError: something else was trained; it names every option that differs.
    """
    changed = identity.differences(record.get("identity"))
    if loop is not None:
        then = {f"loop.{name}": value for name, value in record["config"].items()}
        names = [name.removeprefix("loop.") for name in describe({"loop": loop}).differences(then)]
        changed += [name for name in names if name not in RESUMABLE]
    if changed:
        raise UserError(f"'{path}' was trained with other {', '.join(changed)}; restore them or name another --out")


def _plain(value: Any) -> Any:
    """As it comes back from JSON."""
    return list(value) if isinstance(value, tuple) else value
