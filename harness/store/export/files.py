"""Files of `harness.store.export.formats`, written into folders of their own and read again."""

import errno
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from harness.errors import CannotRun, Fault, InputError
from harness.names import child
from harness.paths import check_own_folder, make_folder, whole_file
from harness.specs.prompt import Origin
from harness.specs.text_file import read_text
from harness.store.export.formats import FeatureLine

PAGE = '<meta name="generator" content="misconception-harness'  # what a page of this package begins with
LARGEST = 1_000_000_000  # bytes of a file of features
RUNS = "runs"  # where exports go, unless another folder is named
M = TypeVar("M", bound=BaseModel)


def new_folder(parent: Path) -> Path:
    """A new folder below `parent`, named by the time (UTC). Raises `CannotRun`."""
    folder = parent / f"{datetime.now(UTC):%Y%m%d_%H%M%S_%f}"
    try:
        if str(parent) == RUNS:
            check_own_folder(RUNS)
        make_folder(parent)
        folder.mkdir()
    except OSError as error:
        raise refused(folder, error) from None
    return folder


@contextmanager
def filled_folder(parent: Path) -> Iterator[Path]:
    """A new folder below `parent`, taken away again where what should fill it fails."""
    folder = new_folder(parent)
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def write_new(parent: Path, name: str, content: BaseModel | Iterable[BaseModel]) -> Path:
    """Write into a new folder below `parent`; returns the file. Raises `CannotRun`."""
    with filled_folder(parent) as folder:
        return write(folder / name, content)


def write(path: Path, content: BaseModel | Iterable[BaseModel]) -> Path:
    """One object as indented JSON, or one a line. Raises `CannotRun`."""
    if isinstance(content, BaseModel):
        return write_text(path, [content.model_dump_json(indent=2) + "\n"])
    return write_text(path, (line.model_dump_json() + "\n" for line in content))


def write_text(path: Path, parts: Iterable[str]) -> Path:
    """Some text, part by part, whole or not at all. Raises `CannotRun`."""
    try:
        with whole_file(path) as part, part.open("w", encoding="utf-8") as out:
            out.writelines(parts)
    except (OSError, UnicodeEncodeError) as error:
        raise refused(path, error) from None
    return path


def write_report(name: str, text: str) -> Path:
    """The page of what has this name, in the folder for reports. Raises as `write_page`."""
    path = child(Path("reports"), name, ".html")
    try:
        check_own_folder("reports")
    except OSError as error:
        raise refused(path, error) from None
    return write_page(path, text)


def write_page(path: Path, text: str) -> Path:
    """An HTML page of this package; it takes the place of another such page or of an empty file.

    Raises `InputError` where something else is there, `CannotRun` where it cannot be written.
    """
    try:
        head = b""
        if path.is_file():
            with path.open("rb") as there:
                head = there.read(4096)
    except OSError as error:
        raise refused(path, error) from None
    if head and PAGE.encode() not in head:
        what = "something else than a report is there"
        raise InputError(Fault(str(path), what, "name another file, or take it away first"))
    return write_text(path, [text])


def read_features(place: Path) -> tuple[list[FeatureLine], bool]:
    """A folder's `features.jsonl`, or that file; and whether every line says its origin.

    A line that does not is taken for a mock's. Raises `InputError` with every fault.
    """
    path = place / "features.jsonl" if place.is_dir() else place
    try:
        text = read_text(path, LARGEST)
    except InputError as error:
        remedy = "name a run, or a folder that `harness extract` wrote"
        raise InputError(*(Fault(one.where, one.what, remedy) for one in error.faults)) from None
    lines, faults, marked = [], [], True
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            if '"origin"' in line:
                lines.append(FeatureLine.model_validate_json(line))
            else:
                marked = False
                lines.append(_Unmarked.model_validate_json(line))
        except ValidationError as error:
            detail = error.errors()[0]
            what = f"{'.'.join(map(str, detail['loc'])) or 'the line'}: {detail['msg'].lower()}"
            faults.append(Fault(f"{path}:{number}", what, "see `harness schema features`"))
    if faults or not lines:
        raise InputError(*faults or [Fault(f"{path}:1", "it has no lines", "extract again")])
    return lines, marked


class _Unmarked(FeatureLine):
    """A line of a file that does not say whether its SAE was real."""

    origin: Origin = "mock"


def refused(path: Path, error: OSError | UnicodeEncodeError) -> CannotRun:
    """Why a file or folder cannot be written."""
    if isinstance(error, UnicodeEncodeError):
        what = "cannot be written: it would hold halves of characters"
        return CannotRun(Fault(str(path), what, "write all names and texts in UTF-8"))
    reason = (error.strerror or str(error)).lower()
    full = error.errno in (errno.ENOSPC, errno.EDQUOT) or "no space left" in reason
    remedy = "make room" if full else "name another place"
    return CannotRun(Fault(str(path), f"cannot be written: {reason}", remedy))
