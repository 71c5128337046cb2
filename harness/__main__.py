"""`python -m harness`, and the command `harness`: where a process begins, and how it ends."""

import gc
import os
import sys
import tempfile
import traceback
from contextlib import suppress
from io import RawIOBase, TextIOWrapper

from harness.characters import one_line
from harness.streams import Shown

# Objects that come into being before garbage is looked for: with Python's own 700, a quarter of the time that
# importing torch and transformers takes goes into looking.
MANY = 5000
DEFECT = 70  # what sysexits.h calls EX_SOFTWARE: no verdict, and nothing that the caller did


def main() -> None:
    """Run the command line; whatever happens is a line, also while it is still being imported."""
    _prepare_streams()
    gc.set_threshold(MANY, *gc.get_threshold()[1:])
    from harness.runner.stop_signals import raise_stop_signals, stop_message, stop_status

    try:
        raise_stop_signals()
        from harness.cli import main as commands
        from harness.models.waiting_threads import let_threads_sleep

        let_threads_sleep()
        commands(prog_name="harness")
    except KeyboardInterrupt as error:
        _tell(f"{stop_message(error)}\n")
        sys.exit(stop_status(error))
    except Exception as error:
        _tell(_defect_line(error))
        sys.exit(DEFECT)


def _prepare_streams() -> None:
    """Streams to which any text can be written; a file that is opened must not become one of them."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # closed: the next file that is opened would have its number
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 # until the end
    out = sys.stdout
    if isinstance(out, TextIOWrapper) and isinstance(out.buffer, RawIOBase):
        # PYTHONUNBUFFERED: what a full disk takes only half of would end there without a word.
        sys.stdout = open(1, "w", buffering=1, encoding=out.encoding, closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _defect_line(error: Exception) -> str:
    """What went wrong in one line, and where its traceback is: in a file, or below where it is asked for."""
    trace = "".join(traceback.format_exception(error))
    kind = type(error).__name__
    what = f"error: harness: it failed in a way that it should not, {kind}: {_first_line(error)}"
    if os.environ.get("HARNESS_TRACEBACK"):
        return f"{what}; please report it with this\n{trace}"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="harness-error-", suffix=".txt", delete=False, errors="backslashreplace"
        ) as file:
            file.write(trace)
    except OSError:
        return f"{what}; set HARNESS_TRACEBACK=1, call it again, and please report what it says\n"
    return f"{what}; please report it with {file.name}\n"


def _first_line(error: Exception) -> str:
    return one_line((str(error).strip() or "without a word").splitlines()[0])


def _tell(text: str) -> None:
    with suppress(OSError):
        Shown(sys.stderr).write(text)


if __name__ == "__main__":
    main()
