"""The results file as commands open it: to read, or another one to take runs from."""

from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.output import say
from harness.errors import CannotRun, Fault, InputError

if TYPE_CHECKING:
    from harness.store.database import Store


def open_to_read(db: Path, *, snapshot: bool, memory: str | None = None) -> "Store":
    """The results file itself, or a copy of it where another process writes. Raises `CannotRun`.

    What is sorted beyond `memory` lies on the disk meanwhile.
    """
    from harness.store.database import Store

    return (Store.open_snapshot if snapshot else Store.open_to_read)(db, say=say, memory=memory)


def open_other(source: Path, db: Path) -> "Store":
    """A copy of another results file than `db`. Raises `InputError` where it is none."""
    from harness.store.database import Store

    remedy = "name a folder that `harness export` wrote, or a results file"
    if not source.exists():
        raise InputError(Fault(str(source), "there is no such file or folder", remedy))
    if source.resolve() == db.resolve():
        raise InputError(Fault(str(source), "it is the results file itself", remedy))
    try:
        return Store.open_snapshot(source, say=say)
    except CannotRun as error:
        raise InputError(*(Fault(f.where, f.what, remedy) for f in error.faults)) from None
