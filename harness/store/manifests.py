"""What an exported run says of itself beside its rows: which run, in which schema, with which sums."""

import hashlib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, Field

from harness.errors import Fault, InputError
from harness.names import LONGEST_ID, PATTERN
from harness.specs.text_file import read_text

FIRST_EXPORTED = 5  # the first schema of which there are exports


class RunManifest(BaseModel):
    """Which run a folder holds, and in which schema."""

    schema_: int = Field(alias="schema", ge=FIRST_EXPORTED)
    run_id: str = Field(pattern=PATTERN, max_length=LONGEST_ID)


M = TypeVar("M", bound=RunManifest)


def read_manifest(path: Path, kind: type[M], *, most: int, remedy: str) -> M:
    """A manifest of at most so many bytes. Raises `InputError` where it is none of its kind."""
    try:
        return kind.model_validate_json(read_text(path, most))
    except InputError as error:
        what = error.faults[0].what
    except ValueError:  # pydantic's too
        what = "cannot be read: it names no schema and run of this harness"
    raise InputError(Fault(str(path), what, remedy))


def digest(path: Path) -> str:
    """The SHA-256 of a file. Raises `OSError`."""
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()
