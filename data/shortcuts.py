"""How well words, answers and lengths tell the variants of the prompt files apart, as a table.

`python -m data.shortcuts` prints it in Markdown; with the names of prompt files, of these.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import harness
from data.scenarios import HERE


def table(files: Sequence[Path]) -> Iterator[str]:
    """The lines of a Markdown table: a line for each file, kind of features and grouping left out."""
    yield "| file | told by | left out | score | 95% | decides |"
    yield "|---|---|---|---|---|---|"
    for file in files:
        for one in harness.shortcuts(file):
            groups = f"{one.left_out} ({one.groups})"
            interval = f"{one.low:.2f} to {one.high:.2f}"
            decides = "yes" if one.decides else ""
            yield (
                f"| `{file.stem}` | {one.kind} | {groups} | {one.score:.2f} | {interval} | {decides} |"
            )


if __name__ == "__main__":
    given = [Path(name) for name in sys.argv[1:]]
    print("\n".join(table(given or sorted(HERE.glob("*.jsonl")))))
