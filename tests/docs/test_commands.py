"""Every command and every Python block of README, docs/ and experiments/README.md is followed as a reader would.

The commands of a page run one after another in one folder, which starts with nothing but stand-ins for the reader's own
data. What is too slow is run smaller, what cannot run here is only parsed: both are declared below, with the reason.
"""

import contextlib
import io
import re
import shlex
import shutil
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from simulator.__main__ import build_parser, main
from tests.docs.blocks import PAGES, ROOT, Block, blocks, commands

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("light_pdfs")]

# What is added to a command so that it takes a second: (how it starts, what, why).
SMALLER = [
    ("sweep --snr 0:15 ", "--snr 0,15", "two points are a curve"),
    ("sweep --channel awgn,awgn:assumed_db=10 ", "--snr 4,16", "two points are a curve"),
    (
        "sweep",
        "--images tiny.png --crop 48 --lpips none --workers 1",
        "one picture of 48 pixels instead of photographs",
    ),
    ("transmit", "--lpips none", "no backbone needed"),
    ("reproduce", "--images tiny.png --workers 1", "one picture of 48 pixels instead of Kodak"),
    ("train", "--minutes 0.01 --stage 1 --set loop.batch=1 --set loop.validation_images=1", "a step instead of hours"),
    ("bench ldpc", "--blocks 8 --reference-blocks 1", "few code blocks"),
    ("bench channels", "--channel awgn --symbols 1000 --repeats 1", "one channel"),
    ("bench mcs", "--mcs 4qam-1/2 --megabits 1", "one MCS"),
]

# What is parsed and not run: (pattern, why).
PARSED = [
    (r"^data get ", "needs the network"),
    (r"^reproduce all", "hours; each experiment has its own tests"),
    (r"keras:encoder", "tests/codecs/test_keras.py, which makes the models first"),
    (r"^(train|reproduce) .*ablations", "minutes; tests/models/training trains every variant"),
    (r"^train .*lrisc-compact.*--export", "needs all four stages; the page's own mine.yaml is trained and exported"),
    (r"^train receiver", "codes 2,400 pictures; tests/models/receiver trains and exports in miniature"),
    (r"receiver=diffusion:weights=weights", "needs the weights of that training"),
    (r"lrisc-hybrid:share=0[,:]", "an hour; tests/models/hybrid makes the table in miniature"),
    (r"^kid ", "needs two pictures of a patch's size; tests/cli/test_cli_kid.py runs it"),
    (r"compressai-ldpc", "CompressAI is installed apart; .ci/run then runs tests/baselines/test_zoo.py"),
    (r"--executor ray", "a cluster takes half a minute to start; tests/sweep/test_ray.py starts one"),
    (r"^app", "serves until it is stopped; tests/browser opens it"),
]

# Commands of other programs: (pattern, why it need not run here).
ELSEWHERE = [
    (r"^python -m simulator\.models\.hybrid\.measured ", "needs those sweeps; tests/models/hybrid makes a table"),
    (r"^pytest( |$)", "this is it; .ci/run starts it"),
    (r"^wis completion bash", "tests/cli/test_completion.py runs what it prints"),
    (r"^python docs/site/screenshots\.py ", "a minute of a browser; tests/browser opens the same pages"),
    (r"^mkdocs build --strict -f docs/site/mkdocs\.yml$", "tests/docs/test_site.py"),
]

# Files that a page tells the reader to write: page, name, and the first words of the block that holds the text.
WRITTEN = [
    ("docs/training.md", "mine.yaml", "system: lrisc\nname: mine"),
    ("docs/extend.md", "analog.py", '"""Uncoded analog transmission'),
    ("docs/extend.md", "gmsd.py", '"""Gradient magnitude'),
    ("docs/extend.md", "network.py", '"""A convolutional codec'),
    ("docs/extend.md", "dct.py", '"""An image codec: 8 x 8'),
]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder in which a page is read: `photo.jpg`, `photos/`, `mine.yaml`, what the page gives, and `tiny.png`."""
    folders: dict[str, Path] = {}

    def folder_of(page: str) -> Path:
        if page not in folders:
            folders[page] = _furnish(tmp_path_factory.mktemp("reader"), page)
        return folders[page]

    return folder_of


def _furnish(folder: Path, page: str) -> Path:
    from simulator.images import load_image_set

    (folder / "photos").mkdir()
    for image in load_image_set("samples", crop=256)[:2]:  # training takes no smaller ones
        Image.fromarray(image.rgb).save(folder / "photos" / f"{image.name}.png")
    Image.fromarray(image.rgb[:176, :192]).save(folder / "photo.jpg")  # large enough for MS-SSIM
    Image.fromarray(image.rgb[:48, :48]).save(folder / "tiny.png")
    mine = "title: Mine\nschemes: [bpg-ldpc]\nsnr: [10]\nfigures: [[psnr_db]]\nlpips: none\n"
    (folder / "mine.yaml").write_text(mine)
    for where, name, start in WRITTEN:
        if where == page:
            (text,) = (block.text for block in blocks(ROOT / page) if block.text.startswith(start))
            (folder / name).write_text(text)
    return folder


def _steps() -> list:
    """What a reader does, page by page, in order: a command, or a whole Python block."""
    found = []
    for block in [block for path in PAGES for block in blocks(path)]:
        where = f"{block.page}:{block.line}"
        if block.language == "bash":
            found += [pytest.param(block, words, id=f"{where} {shlex.join(words)}") for words in commands(block.text)]
        elif block.language == "python":
            found.append(pytest.param(block, ["<python>"], id=f"{where} Python"))
    return found


@pytest.mark.parametrize(("block", "words"), _steps())
def test_step(block: Block, words: list[str], reader: Callable[[str], Path], monkeypatch, capfd, request) -> None:
    if any(needed in block.text for needed in ("LpipsNet", "simulator train")):
        request.getfixturevalue("lpips_backbone_dir")
    line = " ".join(words)
    if any(re.search(pattern, line) for pattern, _ in ELSEWHERE):
        return
    if words[0] == "pip":
        _check_pip(words)
        return
    folder = reader(block.page)
    monkeypatch.chdir(folder)
    if words == ["<python>"]:
        _run_python(block)
        return
    assert words[:3] == ["python", "-m", "simulator"], f"declare in ELSEWHERE why '{line}' need not run"
    arguments = words[3:]
    verb = " ".join(arguments)
    if any(re.search(pattern, verb) for pattern, _ in PARSED):
        build_parser().parse_args(arguments)
        return
    smaller = [*arguments, *_smaller(arguments)]
    _quicken(arguments[0], monkeypatch)
    if not _copied(smaller, folder):
        assert _run(smaller) == 0, capfd.readouterr().err
    _check_outputs(arguments[0], smaller, folder)
    if block.output and len(commands(block.text)) == 1:
        unmeasured = {"LPIPS"} if "none" in smaller else set()
        _check_shape(block.output, capfd.readouterr().out, unmeasured)


_followed: dict[str, tuple[Path, Path]] = {}


def _copied(arguments: list[str], folder: Path) -> bool:
    """Whether all that a command makes was made on earlier pages; it is then copied instead of computed again."""
    if arguments[0] not in ("sweep", "reproduce", "train") or "--export" in arguments:
        return False
    args = build_parser().parse_args(arguments)
    names = args.experiments if arguments[0] == "reproduce" else []
    apart = ("experiments", "out", "limit")  # `--limit 1` of one picture changes nothing
    options = str(sorted((name, str(value)) for name, value in vars(args).items() if name not in apart))
    folder_of_all = args.out or Path("runs", args.config.stem)  # the default of `train`; the others name theirs
    out = {f"{name} {options}": folder_of_all / Path(name).stem for name in names} or {options: folder_of_all}
    earlier = {key: _followed.setdefault(key, (folder, folder / made)) for key, made in out.items()}
    if any(where == folder for where, _ in earlier.values()):
        return False
    for key, made in out.items():
        shutil.copytree(earlier[key][1], folder / made, dirs_exist_ok=True)
    return True


def _smaller(arguments: list[str]) -> list[str]:
    """The options that make a command quick."""
    if "--export" in arguments:
        return []
    added = [one for start, more, _ in SMALLER if f"{' '.join(arguments)} ".startswith(start) for one in more.split()]
    if arguments[0] == "reproduce" and "--out" not in arguments:
        added += ["--out", "results"]  # the default, which must be named for a smaller version
    return added


def _run(arguments: list[str]) -> int | str | None:
    try:
        return main(arguments)
    except SystemExit as end:  # --help and --version
        return end.code or 0


def _quicken(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has no option: `check` on two channels and one network (tests/test_selftest.py runs more of it, and all
    networks), `train` from the axes of a few blocks, `reproduce` at every third SNR and CBR."""
    if verb == "check":
        from simulator import selftest

        monkeypatch.setattr(selftest, "plugin_names", lambda group: ["awgn", "rayleigh"])
        monkeypatch.setattr(selftest, "NUM_DRAWS", 200)
        monkeypatch.setattr(selftest, "RELEASED_LATTICES", {"deepjscc": None})
        monkeypatch.setattr(selftest, "LATTICE_CBRS", selftest.LATTICE_CBRS[:1])
    elif verb == "train":
        monkeypatch.setattr("simulator.models.training.stages.STATISTICS_PIXELS", 2**20)
    elif verb == "reproduce":
        from simulator.experiments import read

        scaled_down = read.scaled_down

        def thinned(*arguments: Any) -> read.Experiment:
            one = scaled_down(*arguments)
            return replace(one, grid=replace(one.grid, snrs_db=one.grid.snrs_db[::3], cbrs=one.grid.cbrs[::3]))

        monkeypatch.setattr(read, "scaled_down", thinned)


def _check_pip(words: list[str]) -> None:
    """Only what pyproject.toml offers is installed."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for word in words[1:]:
        if found := re.fullmatch(r"\.\[([\w,]+)\]", word):
            assert set(found[1].split(",")) <= set(extras), f"no extra {word}"
        else:
            allowed = ("install", "-e", ".", "--no-deps", "compressai==1.2.8")  # the last two as in .ci/run
            assert word in allowed, f"a step of installing that nothing tests: {shlex.join(words)}"


def _check_outputs(verb: str, arguments: list[str], folder: Path) -> None:
    """What the pages promise that a verb leaves behind."""
    args = build_parser().parse_args(arguments) if verb in ("sweep", "reproduce", "transmit", "train") else None
    if verb == "sweep":
        assert {"summary.csv", "provenance.json", "results.sqlite", "figures"} <= _names(folder / args.out)
        drawn = list((folder / args.out / "figures").glob("*.png"))
        assert drawn or len(args.snr) * len(args.cbr) == 1  # a single point makes no curve
    elif verb == "reproduce":
        for name in args.experiments:
            left = _names(folder / args.out / Path(name).stem)
            assert {"summary.csv", "table.md", "table.csv", "bill.csv", "figures", "provenance.json"} <= left
    elif verb == "transmit" and args.out:
        with Image.open(folder / args.out) as received, Image.open(folder / args.image) as sent:
            assert received.size == sent.size
    elif verb == "report":
        assert (folder / build_parser().parse_args(arguments).out).stat().st_size > 10_000
    elif verb == "train" and args.export:
        assert any(name.endswith(".safetensors") for name in _names(folder / args.export))


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def _check_shape(shown: str, printed: str, unmeasured: set[str]) -> None:
    """Every word that the page shows is printed: numbers differ with the picture, words do not."""
    words = set(re.findall(r"[A-Za-z][A-Za-z-]+", shown)) - unmeasured
    assert words <= set(re.findall(r"[A-Za-z][A-Za-z-]+", printed)), (
        f"the page shows\n{shown}\nbut it prints\n{printed}"
    )


def _run_python(block: Block) -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(block.text, f"{block.page}:{block.line}", "exec"), {"__name__": "__main__"})
    if block.output is not None:
        _check_same(block.output, printed.getvalue())


_NUMBER = re.compile(r"(?<![\w/-])[+-]?\d+(?:\.\d+)?")


def _check_same(shown: str, printed: str) -> None:
    """The same text; numbers within 2 %, as processors round networks differently."""
    assert _NUMBER.sub("#", shown).split() == _NUMBER.sub("#", printed).split(), printed
    pairs = zip(_NUMBER.findall(shown), _NUMBER.findall(printed), strict=True)
    for expected, measured in pairs:
        slack = 0.02 if "." in expected else 20
        assert float(measured) == pytest.approx(float(expected), rel=0.02, abs=slack), printed
