"""The spec of a run that somebody else may have recorded, from the file that it names."""

from pathlib import Path

from harness.errors import Fault, InputError
from harness.specs.local_paths import is_within
from harness.specs.spec_file import SpecFile, load


def spec_file_of(where: str, path: Path, name: str) -> SpecFile:
    """The file of a run's spec, which is called `name`. Raises `InputError`, at `where`, where it is not.

    What is wrong with another file than a spec is not said: whoever recorded the run may have named any.
    """
    try:
        file = load(path)
    except InputError:
        if is_within(path):
            raise
    else:
        if file.spec.name == name:
            return file
    what = f"{path} is not its spec, or not any more"
    raise InputError(Fault(where, what, "put the spec there, or run it again"))
