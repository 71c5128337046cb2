"""The outcomes of one test session: a spec is run once, whichever claim of it is asked for first.

Where pytest-xdist spreads claims over workers, they share a folder, and each outcome lies there as soon as
it is known. So a spec runs once in any distribution of its claims. One process writes at a time: the workers
take turns at the results file, eval by eval.
"""

import hashlib
import pickle
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError, Say
from harness.paths import whole_file

if TYPE_CHECKING:
    from harness.runner.outcome import Outcome
    from harness.store.database import Store


WRITING, ENDED = "writing.lock", ".outcome"


class Outcomes:
    """What was run in this process, or by any worker that has the same `folder`."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._own: dict[Path, Outcome | Exception] = {}

    def of(self, spec: Path, run: Callable[[], "Outcome"]) -> "Outcome":
        """The outcome of a spec; `run` is called where nobody ran it. Raises what stopped it."""
        if spec not in self._own:
            self._own[spec] = self._shared(spec, run) if self.folder else _tried(run)
        found = self._own[spec]
        if isinstance(found, Exception):
            raise found
        return found

    def all(self) -> list["Outcome"]:
        """Those of the specs that were run to their verdicts, in the order in which they ended."""
        found = list(self._own.values())
        if self.folder:
            ended = self.folder.glob(f"*{ENDED}")
            found += [
                _read(file) for file in sorted(ended, key=lambda file: file.stat().st_mtime_ns)
            ]
        return [one for one in found if not isinstance(one, Exception)]

    def forget(self) -> None:
        """Let go of them: an outcome leads to every library behind it, as far as DuckDB."""
        self._own.clear()

    def _shared(self, spec: Path, run: Callable[[], "Outcome"]) -> "Outcome | Exception":
        from filelock import FileLock

        assert self.folder is not None
        name = hashlib.sha256(str(spec).encode()).hexdigest()[:16]
        file = self.folder / f"{name}{ENDED}"
        # Whoever comes second waits for the first; the lock of one that dies is free.
        with FileLock(self.folder / f"{name}.lock"):
            if file.exists():
                found: Outcome | Exception = _read(file)
                return found
            found = _tried(run)
            if isinstance(found, HarnessError) or not isinstance(found, Exception):
                _write(file, found)
            return found


class Desk:
    """The side that hands out tests: it has the folder, and knows whether there are claims among them."""

    def __init__(self) -> None:
        self._held = ExitStack()
        self.folder = Path(self._held.enter_context(TemporaryDirectory(prefix="harness-")))
        self.has_claims = False

    def close(self) -> None:
        """Remove the folder."""
        self._held.close()


@contextmanager
def store_in_turn(folder: Path, db: Path, *, wait: float, say: Say) -> Iterator["Store"]:
    """The results file, open for one worker at a time: the others wait here. Raises `CannotRun`."""
    from filelock import FileLock

    from harness.store.database import Store

    with FileLock(folder / WRITING), Store.open(db, wait=wait, say=say) as store:
        yield store


def probe_in_turn(folder: Path, db: Path, *, wait: float, say: Say) -> None:
    """Find out now what stands against opening it, unless one writes to it. Raises `CannotRun`."""
    from filelock import FileLock, Timeout

    from harness.store.database import Store

    with suppress(Timeout), FileLock(folder / WRITING, timeout=0):
        Store.probe(db, wait=wait, say=say)


def _tried(run: Callable[[], "Outcome"]) -> "Outcome | Exception":
    try:
        return run()
    except Exception as error:
        # The other claims of the spec fail with the same words, without running again.
        return error


def _write(file: Path, value: object) -> None:
    with whole_file(file) as part:  # another process looks
        part.write_bytes(pickle.dumps(value))


def _read(file: Path) -> Any:
    return pickle.loads(file.read_bytes())  # noqa: S301 - this session's own folder
