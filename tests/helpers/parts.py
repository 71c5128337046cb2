"""Results files as parts, and whether both have the same rows."""

import math
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.store.parts.layout import INDEX
from tests.helpers.cli import invoke


def all_in_parts(db: Path, folder: Path) -> Path:
    """Every run of a results file added to a folder of parts; its index."""
    found = invoke("export", "all", "--format", "parts", "--output_dir", folder, "--db", db)
    assert found.exit_code == 0, found.output
    assert found.stderr == ""
    return folder / INDEX


def order(row: Sequence[Any]) -> str:
    """What rows are sorted by: floats as far as sums in another order leave them alone."""
    return repr([f"{one:.6g}" if isinstance(one, float) else one for one in row])


def check_same(ours: Sequence[Sequence[Any]], theirs: Sequence[Sequence[Any]]) -> None:
    """The same rows in any order; of floats, which are sums in any order, all but the last bits."""
    assert len(ours) == len(theirs)
    for mine, other in zip(sorted(ours, key=order), sorted(theirs, key=order), strict=True):
        for a, b in zip(mine, other, strict=True):
            if isinstance(a, float) and isinstance(b, float):
                assert math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12) or a is b or a == b
            else:
                assert a == b
                assert type(a) is type(b) or isinstance(a, datetime)
