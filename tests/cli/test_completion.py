"""What `completion` prints completes in a real shell."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from simulator.cli import completion
from simulator.experiments.names import experiment_names
from simulator.spec.plugins import SCHEMES, plugin_names

# Completes one command line as bash does for a tab at its end.
BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
function_of_command=$(complete -p "$1"); function_of_command=${function_of_command#*-F }
${function_of_command%% *}
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each shell's script in a file, as a user stores it."""
    folder = tmp_path_factory.mktemp("completion")
    made = {shell: folder / shell for shell in completion.SHELLS}
    for shell, path in made.items():
        command = [sys.executable, "-m", "simulator", "completion", shell]
        with path.open("wb") as file:
            subprocess.run(command, stdout=file, check=True)
    return made


def _completed(scripts: dict[str, Path], line: str, folder: Path | None = None) -> list[str]:
    command = ["bash", "--norc", "-c", BASH, "bash", str(scripts["bash"]), *line.split(" ")]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder).stdout.split()


@pytest.mark.parametrize("command", completion.COMMANDS)
@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("tra", ["transmit", "train"]),
        ("sweep --sn", ["--snr"]),
        ("sweep --scheme lri", ["lrisc", "lrisc-hybrid"]),
        ("sweep --scheme lrisc,deep", ["lrisc,deepjscc"]),
        ("transmit --channel rician", ["rician", "rician-fast"]),
        ("sweep --metric ssim", ["ssimulacra2"]),
        ("reproduce figure", [name for name in experiment_names() if name.startswith("figure")]),
        ("plot run --style ie", ["ieee"]),
        ("bench sw", ["sweep"]),
        ("completion z", ["zsh"]),
    ],
)
def test_bash_completes(scripts: dict[str, Path], command: str, line: str, found: list[str]) -> None:
    assert _completed(scripts, f"{command} {line}") == found


def test_every_scheme_is_offered(scripts: dict[str, Path]) -> None:
    assert _completed(scripts, "wis transmit --scheme ") == plugin_names(SCHEMES)


def test_files_and_folders_are_offered(scripts: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "photo.png").touch()
    (tmp_path / "photos").mkdir()
    assert sorted(_completed(scripts, "wis transmit ph", tmp_path)) == ["photo.png", "photos"]
    assert _completed(scripts, "wis plot ph", tmp_path) == ["photos"]
    assert sorted(_completed(scripts, "wis sweep --images ", tmp_path)) == ["kodak", "photo.png", "photos", "samples"]


@pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish")
def test_fish_completes(scripts: dict[str, Path]) -> None:
    for command in completion.COMMANDS:
        text = f'source {scripts["fish"]}; complete -C "{command} sweep --scheme lrisc,deep"'
        environment = os.environ | {"HOME": str(scripts["fish"].parent)}
        done = subprocess.run(["fish", "-c", text], capture_output=True, text=True, env=environment)
        assert [line.partition("\t")[0] for line in done.stdout.splitlines()] == ["lrisc,deepjscc"], done.stderr


def test_zsh_serves_both_commands_and_offers_every_scheme(scripts: dict[str, Path]) -> None:
    text = scripts["zsh"].read_text()
    assert text.startswith("#compdef wis wireless-image-simulator\n")
    assert f"_sequence compadd - {' '.join(plugin_names(SCHEMES))}" in text
    if shutil.which("zsh"):
        subprocess.run(["zsh", "-n", scripts["zsh"]], check=True)
