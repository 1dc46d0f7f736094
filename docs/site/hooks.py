"""What the website shows in addition to docs/, generated from the repository whenever the site is built.

A line `<!-- fill: name -->` or `<!-- fill: name argument -->` becomes the Markdown that the function of that name
returns; a code host shows the page without it.
Links out of docs/ go to the page or figure that stands for the file here, or become plain text where there is none.
"""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from notebook import TUTORIAL, page_of
from reference import commands, options, table

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results"
CARDS = ROOT / "models" / "pretrained"

# Files of the repository that are pages of the site, by their path in the repository.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "experiments/README.md": "experiments.md",
    "results/README.md": "results.md",
}
FIGURES = (".png", ".webp")
DIRECTIVE = re.compile(r"^<!-- fill: (\w+)(?: (.+?))? -->$", re.MULTILINE)
LINK = re.compile(r"(!?)\[([^\]]*)\]\(((?:\.\./)+|(?=[a-z]+/))([^)#\s]*)(#[^)\s]*)?\)")


def on_files(files: Any, config: Any) -> Any:
    """Add the figures of results/ and the pages that live outside docs/."""
    from mkdocs.structure.files import File

    for figure in sorted(one for kind in FIGURES for one in RESULTS.glob(f"*/figures/*{kind}")):
        name = figure.relative_to(ROOT).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(figure)))
    files.append(File.generated(config, TUTORIAL, content=page_of(ROOT / "docs" / "tutorial.ipynb")))
    for source in ("CHANGELOG.md", "experiments/README.md"):
        files.append(File.generated(config, PAGES[source], content=(ROOT / source).read_text()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links at the site's own files, then fill in what is generated."""
    source = page.file.src_uri
    outside = next((name for name, here in PAGES.items() if here == source), None)
    is_copy = page.file.abs_src_path is None
    base = Path(outside).parent if is_copy and outside else Path("docs") / Path(source).parent
    return DIRECTIVE.sub(lambda found: DIRECTIVES[found[1]](*filter(None, [found[2]])), relink(markdown, base))


def relink(markdown: str, base: Path) -> str:
    """Point the links of a page that lies in the folder `base` of the repository at pages and figures of the site."""

    def replace(found: re.Match[str]) -> str:
        picture, text, up, path, anchor = found.groups()
        target = (ROOT / base / (up + path)).resolve()
        if target.is_relative_to(ROOT / "docs") and target.exists():
            return found[0]
        name = target.relative_to(ROOT).as_posix()
        if name in PAGES:
            return f"[{text}]({PAGES[name]}{anchor or ''})"
        return f"{picture}[{text}]({name})" if target.suffix in FIGURES else text

    return LINK.sub(replace, markdown).replace("](tutorial.ipynb)", f"]({TUTORIAL})")


def experiment(name: str) -> str:
    """Numbers, differences, bills and origin of results/NAME."""
    folder = RESULTS / name
    if not (folder / "provenance.json").exists():
        return (
            f"This experiment has not been run with the released weights yet: `python -m simulator reproduce {name}`."
        )
    parts = [_folded("All numbers", (folder / "table.md").read_text().split("\n", 2)[2])]
    if (folder / "differences.csv").exists():
        found = _read(folder / "differences.csv")
        title = f"Paired differences against {found[0]['reference']}, with 95 % intervals"
        parts.append(_folded(title, _differences(found)))
    if (folder / "bd_rate.csv").exists():
        parts.append(_folded("BD-rates", _bd_rates(_read(folder / "bd_rate.csv"))))
    if (folder / "crossings.csv").exists():
        parts.append(_folded("CBR of equal quality", _crossings(_read(folder / "crossings.csv"))))
    parts.append(_folded("What the channel uses were spent on", _bills(_read(folder / "bill.csv"))))
    parts.append(_folded("Where this comes from", _origin(json.loads((folder / "provenance.json").read_text()))))
    return "\n\n".join(parts)


def _folded(title: str, markdown: str) -> str:
    lines = "\n".join(f"    {line}".rstrip() for line in markdown.strip().splitlines())
    return f'??? note "{title}"\n\n{lines}\n'


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _ratio(cbr: str) -> str:
    from simulator.analysis.words import cbr_label

    return cbr_label(float(cbr)) if cbr else "all"


def differences(name: str) -> str:
    """The paired differences of one scheme of an experiment: `NAME SCHEME`."""
    folder, scheme = name.split()
    return _differences([one for one in _read(RESULTS / folder / "differences.csv") if one["scheme"] == scheme])


def _differences(found: list[dict[str, str]]) -> str:
    """One line per scheme, channel, SNR and CBR; an empty SNR is the mean over all."""
    lines: dict[tuple[str, ...], dict[str, str]] = {}
    for one in found:
        at = (f"`{one['scheme']}`", one["channel"], one["snr_db"] or "mean", _ratio(one["cbr_target"]))
        digits = 2 if one["metric"] == "psnr_db" else 4
        cell = f"{float(one['difference']):+.{digits}f}"
        if one["difference_lo"]:
            cell += f" [{float(one['difference_lo']):+.{digits}f}, {float(one['difference_hi']):+.{digits}f}]"
        if one["metric"] == "lpips" and one["percent"]:
            cell += f" ({float(one['percent']):+.0f} %)"
        lines.setdefault(at, {})[one["metric"]] = cell
    heads = ["scheme", "channel", "Es/N0 dB", "CBR", "PSNR dB", "LPIPS", "MS-SSIM"]
    metrics = ("psnr_db", "lpips", "ms_ssim")
    return table(heads, [[*at, *(cells.get(one, "-") for one in metrics)] for at, cells in lines.items()], 2)


def _bd_rates(found: list[dict[str, str]]) -> str:
    rows = []
    for one in found:
        rate = f"{float(one['bd_rate_percent']):+.1f} %" if one["bd_rate_percent"] else "-"
        schemes = f"`{one['scheme']}`", f"`{one['reference']}`"
        rows.append([*schemes, one["channel"], one["snr_db"], one["metric"], rate])
    return table(["scheme", "against", "channel", "Es/N0 dB", "metric", "channel uses"], rows, 3)


def _crossings(found: list[dict[str, str]]) -> str:
    rows = []
    for one in found:
        relation = "" if one["relation"] == "=" else f"{one['relation']} "
        share = f"{relation}{float(one['share']):.2f}"
        schemes = f"`{one['scheme']}`", f"`{one['reference']}`"
        rows.append([*schemes, one["channel"], one["snr_db"], one["metric"], _ratio(one["reference_cbr"]), share])
    return table(
        ["scheme", "against", "channel", "Es/N0 dB", "metric", "at its CBR", "share for equal quality"], rows, 3
    )


def _bills(found: list[dict[str, str]]) -> str:
    items = list(found[0])[list(found[0]).index("cbr") + 1 :]
    rows = [
        [f"`{one['scheme']}`", one["channel"], one["snr_db"], _ratio(one["cbr_target"])]
        + [f"{float(one[item]):.2%}" for item in items]
        for one in found
    ]
    return table(["scheme", "channel", "Es/N0 dB", "CBR", *(item.replace("_", " ") for item in items)], rows, 2)


def _origin(record: dict[str, Any]) -> str:
    """The command, and what must be the same for the same numbers."""
    command = " ".join(["python", "-m", *record["command"]])
    packages = ", ".join(f"{name} {version}" for name, version in record["packages"].items() if version)
    machine = record["machine"]
    facts = {
        "Command": f"`{command}`",
        "Program and commit": f"{record['program']}, {_commit(record)}",
        "Date": record["date"],
        "Machine": f"{machine['system']}, {machine['processor']}, GPUs: {', '.join(machine['gpus']) or 'none'}",
        "Packages": f"Python {record['python']}, {packages}",
        "LPIPS": f"{record['lpips']['net']}, weights `{record['lpips']['fingerprint'][:16]}`",
        "Images": ", ".join(f"{one['name']} ({one['size'][1]}x{one['size'][0]})" for one in record["images"]),
    }
    if record.get("earlier"):
        rows = [f"{one['rows']:,} of {_commit(one)}" for one in record["earlier"]]
        facts["Rows of other commits or versions"] = ", ".join(rows)
    return "\n".join(f"- **{name}:** {fact}" for name, fact in facts.items())


def _commit(record: dict[str, Any]) -> str:
    from simulator.results.provenance import commit_words

    return f"commit {commit_words(record['commit'], 12) or 'unknown'}"


def benchmarks() -> str:
    """The tables of `bench all` in results/benchmarks/, without their headings."""
    tables = sorted((RESULTS / "benchmarks").glob("*.md"))
    if not tables:
        return "Not measured for this version yet: `python -m simulator bench all --out results/benchmarks`."
    return "\n\n".join(re.sub(r"\A# .*\n", "", table.read_text()).strip() for table in tables)


HEADLINE_SNRS_DB = ("0", "5", "10", "15")
HEADLINE_SCHEMES = {
    "lrisc": "",
    "lrisc:gamma=0": " (PSNR end)",
    "deepjscc": "",
    "pdjscc": "",
    "bpg-ldpc": "",
    "bpg-ldpc:receiver=diffusion": "",
    "bpg-capacity": " (bound)",
}


def headline() -> str:
    """The table of the README: PSNR and LPIPS of Fig. 4, and DISTS of the experiment `perception`."""
    means, further = _means("figure4"), _means("perception")
    lines = ["| scheme | " + " | ".join(f"{snr} dB" for snr in HEADLINE_SNRS_DB) + " | DISTS, 0 / 10 dB |"]
    lines.append("|---" * (len(HEADLINE_SNRS_DB) + 2) + "|")
    for scheme, note in HEADLINE_SCHEMES.items():
        points = [means[scheme, snr] for snr in HEADLINE_SNRS_DB]
        cells = [f"{float(one['psnr_db']):.2f} / {float(one['lpips']):.3f}" for one in points]
        both = [further[scheme, snr]["dists"] for snr in ("0", "10") if (scheme, snr) in further]
        cells.append(" / ".join(f"{float(one):.3f}" for one in both) or "-")
        lines.append(f"| `{scheme}`{note} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _means(experiment: str) -> dict[tuple[str, str], dict[str, str]]:
    """The points of an experiment at CBR 1/16, by scheme and SNR."""
    points = _read(RESULTS / experiment / "summary.csv")
    return {(one["scheme"], one["snr_db"]): one for one in points if one["cbr_target"].startswith("0.0625")}


def model_cards() -> str:
    """One section per released network, out of models/pretrained/*.json."""
    return "\n\n".join(_card(json.loads(path.read_text())) for path in sorted(CARDS.glob("*.json"), reverse=True))


def _card(card: dict[str, Any]) -> str:
    hardware, validation, data = card["hardware"], card["validation"], card["data"]
    lines = [
        f"## {card['name']}",
        "",
        f"- **Trained:** {card['hours']:.1f} hours on {hardware['processor']}, {hardware['cores']} cores"
        + (f", {', '.join(hardware['gpus'])}" if hardware["gpus"] else ", no GPU"),
        f"- **Images:** {data['images']:,} (held out for validation: {data['held_out']}), list `{data['sha256'][:16]}`",
        f"- **Weights:** {card['bytes'] / 2**20:.1f} MiB of fp16 safetensors, SHA-256 `{card['sha256'][:16]}`"
        + (f", on top of those of `{card['base']['name']}`" if "base" in card else ""),
        f"- **Validation** ({card['measure']}): {_numbers(validation)}",
        *([f"- **Cost:** {_cost(card['cost'])}"] if "cost" in card else []),
        "",
    ]
    lines += ["Known limits:", "", *(f"- {one}" for one in card["known_limits"]), ""]
    heads = ["stage", "steps", "images", "hours", "batch", "crop", "learning rate", "precision", "note"]
    rows = [
        [one["stage"], f"{one['steps']:,}", f"{one['images']:,}", f"{one['hours']:.2f}"]
        + [str(one["loop"][key]) for key in ("batch", "crop", "learning_rate", "precision")]
        + [one.get("note", "")]
        for one in card["training"]
    ]
    lines += [table(heads, rows, 1), "", _folded("Configuration", _yaml(card.get("config") or card["model"]))]
    return "\n".join(lines)


def _cost(cost: dict[str, float]) -> str:
    halves = []
    for half in ("encoder", "decoder"):
        macs, peak = cost[f"{half}_macs_per_pixel"] / 1e3, cost[f"{half}_peak_mib"]
        halves.append(f"{half} {macs:.1f} kMAC per pixel, {peak:.0f} MiB at its peak")
    return f"{cost['weights']:,} weights; " + "; ".join(halves) + " (256x256; `bench cost` has times)"


def _numbers(found: dict[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in found.items())


def _yaml(config: dict[str, Any]) -> str:
    import yaml

    text = yaml.safe_dump(config, sort_keys=False, default_flow_style=None, width=100)
    return f"```yaml\n{text}```"


DIRECTIVES: dict[str, Callable[..., str]] = {
    one.__name__: one for one in (benchmarks, commands, differences, experiment, headline, model_cards, options)
}
