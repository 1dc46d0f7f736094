"""Coverage-guided fuzzing with Atheris, where it is installed: `python -m tests.fuzz.guided rate-map -runs=100000`.

Options after the target are libFuzzer's. What it finds is a file `crash-...` in the current folder; put it into
`tests/fuzz/corpus/TARGET` once it is mended.
"""

import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path


def main() -> None:
    """Let Atheris change the seeds of one target for as long as its options say."""
    import atheris

    with atheris.instrument_imports(include=["simulator", "yaml"]):
        from simulator.errors import UserError
        from tests.fuzz.driver import CORPUS
        from tests.fuzz.targets import TARGETS

    name = sys.argv.pop(1)
    target, folder = TARGETS[name], Path(tempfile.mkdtemp(prefix="fuzz-"))
    seeds = folder / "seeds"
    seeds.mkdir()
    for number, seed in enumerate([*target.seeds(), *(path.read_bytes() for path in (CORPUS / name).glob("*"))]):
        (seeds / str(number)).write_bytes(seed)

    def run_one(data: bytes) -> None:
        place = folder / "input"
        place.mkdir()
        try:
            with suppress(UserError):
                target.run(data, place)
        finally:
            shutil.rmtree(place)

    atheris.Setup([sys.argv[0], *sys.argv[1:], str(seeds)], run_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
