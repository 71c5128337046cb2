"""The list of modules in docs/architecture.md, from their docstrings.

python docs/modules.py            write it
python docs/modules.py --check    exit with 1 where it is not up to date
"""

import ast
import sys
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
MARK = "<!-- modules -->\n"


def listing() -> str:
    """A table for each folder of the package: its files, and the first line of each docstring."""
    paths = sorted(
        (ROOT / "harness").rglob("*.py"), key=lambda path: (path.parent.parts, path.name)
    )
    parts = []
    for folder, files in groupby(paths, key=lambda path: path.parent):
        rows = [f"| `{path.name}` | {_summary(path)} |" for path in files]
        name = folder.relative_to(ROOT).as_posix()
        parts.append("\n".join([f"\n### `{name}/`", "| file | |", "|---|---|", *rows]))
    return "\n".join(parts) + "\n"


def _summary(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(docstring.split("\n\n")[0].split()).replace("|", "\\|")


def main(arguments: list[str]) -> int:
    """Write the list, or check it."""
    text = PAGE.read_text(encoding="utf-8")
    head = text[: text.index(MARK) + len(MARK)]
    if arguments == ["--check"]:
        if text != head + listing():
            print(f"{PAGE.relative_to(ROOT)}: not up to date; python docs/modules.py writes it")
            return 1
        return 0
    PAGE.write_text(head + listing(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
