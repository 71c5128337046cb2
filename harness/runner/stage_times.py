"""Where the time of a run went, stage by stage: at work, on its way to the store, or waiting."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from harness.errors import CannotRun, Fault
from harness.paths import whole_file
from harness.runner.tasks import Done


@dataclass
class StageTime:
    """One stage: its `wall` seconds, those of its `groups` wherever they were done, and of its commits.

    `workers` has the seconds of each worker by its name, `longest` those of the longest group.
    """

    stage: str
    wall: float = 0.0
    groups: int = 0
    working: float = 0.0
    longest: float = 0.0
    storing: float = 0.0
    workers: dict[str, float] = field(default_factory=dict)


class StageTimes:
    """The times of a run's stages, in their order."""

    def __init__(self) -> None:
        self.stages: list[StageTime] = []

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """All that is added in the block is of this stage."""
        self.stages.append(StageTime(stage))
        began = time.monotonic()
        try:
            yield
        finally:
            self.stages[-1].wall = time.monotonic() - began

    @contextmanager
    def storing(self) -> Iterator[None]:
        """The block stores rows of the stage."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.stages[-1].storing += time.monotonic() - began

    def add(self, done: Done) -> None:
        """A group of the stage is done."""
        stage = self.stages[-1]
        stage.groups += 1
        stage.working += done.seconds
        stage.longest = max(stage.longest, done.seconds)
        stage.workers[done.worker] = stage.workers.get(done.worker, 0.0) + done.seconds

    def write(self, path: Path, run_id: str, analysing: float) -> None:
        """Write them as JSON, with the seconds of the analysis. Raises `CannotRun`."""
        told = {"run_id": run_id, "stages": list(map(asdict, self.stages)), "analyse": analysing}
        try:
            with whole_file(path) as part:
                part.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            what = f"it cannot be written: {error.strerror or error}"
            raise CannotRun(Fault(str(path), what, "name another with --profile")) from None
