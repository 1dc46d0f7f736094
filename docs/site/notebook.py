"""The tutorial notebook as a page of the website."""

import json
from pathlib import Path

TUTORIAL = "tutorial.md"
NOTE = """!!! note
    This page is the notebook <a href="tutorial.ipynb" download>tutorial.ipynb</a> without its outputs: pictures, tables
    and a figure appear when you run it.
"""


def page_of(notebook: Path) -> str:
    """Markdown cells as they are, code cells as blocks, and after the title a link to the notebook itself."""
    parts = []
    for cell in json.loads(notebook.read_text())["cells"]:
        source = "".join(cell["source"])
        parts.append(f"```python\n{source}\n```" if cell["cell_type"] == "code" else source)
    title, _, rest = parts[0].partition("\n")
    return "\n\n".join([title, NOTE, rest.strip(), *parts[1:]]) + "\n"
