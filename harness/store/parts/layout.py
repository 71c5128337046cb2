"""Where each part of a run lies: `run_id=RUN/TABLE/part-0.parquet`, or `run_id=RUN/TABLE/layer=3/part-0...`.

Run and layer are said by the path alone, as Hive has it, so that nothing in a part can contradict it and
what is asked of one layer of one run opens no other file.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from harness.names import LONGEST_ID, is_name
from harness.store.tables import TABLES
from harness.store.tables.columns import Columns
from harness.store.tables.observations import (
    Activations,
    Attributions,
    EditActivity,
    FeatureActivity,
    TokenActivations,
)
from harness.store.tables.results import FeatureLabels, FeatureTests
from harness.store.tables.runs import Registrations

INDEX = "parts.duckdb"  # the views over the parts, for any DuckDB; the name that `--db` is given
MANIFEST = "manifest.json"  # of a run's parts
RUN, LAYER = "run_id=", "layer="
# A row a feature of a layer, or more: of a wide dictionary most of what a run writes.
BY_LAYER = frozenset(
    kind.table
    for kind in (
        Activations,
        TokenActivations,
        FeatureActivity,
        EditActivity,
        Attributions,
        FeatureTests,
    )
)
# Of no run in a results file; here each run has what belongs to it.
SHARED: tuple[type[Columns], ...] = (Registrations, FeatureLabels)
TABLE_NAMES = tuple(kind.table for kind in (*TABLES, *SHARED))
_PART = re.compile(r"([a-z_]+)/(?:layer=(0|[1-9][0-9]{0,4})/)?part-(0|[1-9][0-9]{0,5})\.parquet")


@dataclass(frozen=True)
class PartName:
    """A part of a run: of which table, of which layer (None of a table that is by run alone), which one."""

    table: str
    layer: int | None
    number: int = 0

    @classmethod
    def parse(cls, text: str) -> "PartName":
        """A part's path within its run's folder. Raises `ValueError` where it is none."""
        match = _PART.fullmatch(text)
        if not match or match[1] not in TABLE_NAMES or (match[1] in BY_LAYER) != bool(match[2]):
            raise ValueError("it names a file that is no part of a run")
        return cls(match[1], int(match[2]) if match[2] else None, int(match[3]))

    def __str__(self) -> str:
        within = "" if self.layer is None else f"{LAYER}{self.layer}/"
        return f"{self.table}/{within}part-{self.number}.parquet"


def run_folder(folder: Path, run_id: str) -> Path:
    """Where a run's parts lie in a folder of runs."""
    return folder / f"{RUN}{run_id}"


def run_of(folder: Path) -> str | None:
    """The run whose parts a folder holds, by its name; None where it is named after no run."""
    name = folder.name or folder.resolve().name  # of `.`
    run_id = name.removeprefix(RUN)
    return run_id if name.startswith(RUN) and is_name(run_id, LONGEST_ID) else None


def run_folders(folder: Path) -> list[Path]:
    """The folders of runs in a folder, by name. Raises `OSError`."""
    return sorted(one for one in folder.iterdir() if one.name.startswith(RUN))


def is_index(file: Path) -> bool:
    """Whether a path is that of the views over a folder of parts."""
    try:
        there = file.resolve()
        return there.name == INDEX and there.is_file() and bool(run_folders(there.parent))
    except (OSError, ValueError, RuntimeError):
        return False


def part_in(file: Path, message: str) -> str | None:
    """The part below an index that an error's message names; None where it names none."""
    if not is_index(file):
        return None
    _, found, rest = message.partition(f"{file.resolve().parent}/{RUN}")
    match = re.match(r"[^/]*/[a-z_]+/(layer=\d+/)?part-\d+\.parquet", rest)
    return f"{found}{match[0]}" if match else None
