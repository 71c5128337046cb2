"""How well words, answers and lengths tell the variants of the prompt files apart, as a table.

`python -m data.shortcuts` prints it in Markdown; with the names of prompt files, of these.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import harness
from data.render import PHYSICS
from data.scenarios import HERE

KINDS = (
    "words",
    "word pairs",
    "answer x noun",
    "scene x answer",
    "scene x noun x answer",
    "length",
)


def table(files: Sequence[Path]) -> Iterator[str]:
    """The lines of a Markdown table: a line for each file and grouping left out, a column a kind of features.

    Scores are shares of pairs, with their intervals; what decides is bold.
    """
    yield f"| file | left out | {' | '.join(KINDS)} |"
    yield "|---" * (2 + len(KINDS)) + "|"
    for file in files:
        rows: dict[str, dict[str, str]] = defaultdict(dict)
        for one in harness.shortcuts(file):
            said = f"{one.score:.2f} [{one.low:.2f}, {one.high:.2f}]"
            rows[f"{one.left_out} ({one.groups})"][one.kind] = (
                f"**{said}**" if one.decides else said
            )
        for left_out, scores in rows.items():
            cells = " | ".join(scores.get(kind, "") for kind in KINDS)
            yield f"| `{file.stem}` | {left_out} | {cells} |"


if __name__ == "__main__":
    given = [Path(name) for name in sys.argv[1:]]
    print("\n".join(table(given or [HERE / f"{name}.jsonl" for name in sorted(PHYSICS)])))
