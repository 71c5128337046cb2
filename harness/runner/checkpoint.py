"""What a stage has so far, where its rows come all at its end: a file beside the results."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any
from zipfile import BadZipFile

import numpy as np

from harness.paths import whole_file

EVERY = 2.0  # seconds of work that an end from outside may cost, beside what is at work


class Checkpoint:
    """Arrays by name, kept for a process that goes on. It saves time and decides nothing.

    Where it cannot be written or is damaged, the work begins anew. Without a `path` nothing is kept.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._last = monotonic()

    def load(self) -> dict[str, Any]:
        """What was saved last; empty where nothing was."""
        if self._path is None:
            return {}
        try:
            with self._path.open("rb") as file, np.load(file) as kept:
                return dict(kept)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return {}

    def is_due(self) -> bool:
        """Whether it is time to save."""
        return self._path is not None and monotonic() - self._last >= EVERY

    def save(self, arrays: Mapping[str, Any]) -> None:
        """Put these in the place of what was saved before: all of them, or none."""
        if self._path is None:
            return
        # A full disk is said where rows are written.
        with suppress(OSError), whole_file(self._path) as part, part.open("wb") as file:
            np.savez(file, **arrays)
        self._last = monotonic()

    def remove(self) -> None:
        """Take the file away: the rows are in."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)


UNKEPT = Checkpoint()
