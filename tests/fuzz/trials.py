"""One input after the other: what a reader may do is to read it, or to say what is wrong with it."""

import faulthandler
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from random import Random

from harness.errors import HarnessError
from tests.fuzz.mutations import mutated
from tests.fuzz.readers import READERS

SECONDS = 1.0  # of CPU time
HANGS = 60.0  # seconds after which the process ends
MEMORY = 500_000  # KiB more than at the start


class Trial:
    """A reader and the inputs that follow from a seed; what fails is put into the folder `keep`."""

    def __init__(self, name: str, seed: int, keep: Path) -> None:
        self.name, self.reader = name, READERS[name]()
        self._seed, self._keep = seed, keep

    def data(self, number: int) -> bytes:
        """The input of a number."""
        return mutated(Random(f"{self.name} {self._seed} {number}"), self.reader.seeds)

    def run(self, numbers: Iterable[int]) -> int:
        """Give the inputs to the reader; 1 at the first that fails, which is the last it is given."""
        self._keep.mkdir(parents=True, exist_ok=True)
        at = self._keep / f"{self.name}.now"
        before = _memory()
        with tempfile.TemporaryDirectory() as folder, closing(self.reader):
            for number in numbers:
                at.write_text(str(number))
                data = self.data(number)
                why = self.wrong(data, Path(folder)) or (
                    f"it took {(_memory() - before) >> 10} MiB"
                    if _memory() - before > MEMORY
                    else ""
                )
                if why:
                    kept = self._keep / f"{self.name}-{self._seed}-{number}{self.reader.suffix}"
                    kept.write_bytes(data)
                    print(f"{kept}: {why}", flush=True)
                    return 1
        at.unlink()
        return 0

    def wrong(self, data: bytes, folder: Path) -> str:
        """What a reader did that it may not do with these bytes; nothing where all is well."""
        took = 0.0
        for _ in range(2):  # what takes long once may be the first of its kind
            file = self.reader.put(data, folder)
            faulthandler.dump_traceback_later(HANGS, exit=True, file=sys.__stderr__)
            began = time.process_time()
            try:
                self.reader.read(file)
            except HarnessError as error:
                if not error.faults or not str(error).strip():
                    return "its error says nothing"
            except BaseException:
                return traceback.format_exc()
            finally:
                faulthandler.cancel_dump_traceback_later()
            took = time.process_time() - began
            if self.reader.keeps and file.read_bytes() != data:
                return "the file is another after it was read"
            if took < SECONDS:
                return ""
        return f"it took {took:.1f} s"


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
