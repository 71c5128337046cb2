"""How a process is asked to end: by Ctrl-C, a scheduler or a terminal that closes, all in one way."""

import signal
from contextlib import suppress
from types import FrameType

# Beside SIGINT, which Python raises as KeyboardInterrupt itself. Windows has no SIGHUP.
_ASKING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))

_received: list[int] = []


class Stopped(KeyboardInterrupt):
    """A signal asked the process to end; whatever cleans up after Ctrl-C does so after it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def raise_stop_signals() -> None:
    """From now on SIGTERM and SIGHUP raise `Stopped` in the main thread.

    A signal that is ignored (`nohup`), or that somebody else has taken, is left alone. Does nothing in
    other threads.
    """
    with suppress(ValueError):  # only the main thread may
        for number in _ASKING:
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, _raise)


def leave_stop_signals() -> None:
    """Undo `raise_stop_signals`."""
    with suppress(ValueError):
        for number in _ASKING:
            if signal.getsignal(number) is _raise:
                signal.signal(number, signal.SIG_DFL)


def stop_status(error: BaseException) -> int:
    """The exit status that a shell reports of the signal: 130 of Ctrl-C, 143 of SIGTERM, 129 of SIGHUP."""
    if isinstance(error, Stopped):
        return 128 + error.number
    # DuckDB, while it works, makes one error of any of them.
    hidden = _received if isinstance(error.__cause__, RuntimeError) else []
    return 128 + (hidden[-1] if hidden else signal.SIGINT)


def stop_message(error: BaseException, *, goes_on: bool = False) -> str:
    """What is said at the end: what is kept, where the error has notes of it, and how to go on."""
    kept = list(dict.fromkeys(getattr(error, "__notes__", ())))
    return "; ".join(["stopped", *kept, *["the same command goes on from here"] * goes_on])


def _raise(number: int, _frame: FrameType | None) -> None:
    _received.append(number)
    raise Stopped(number)
