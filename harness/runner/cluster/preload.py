"""What a worker of this machine does as it begins, and how any process of a cluster ends."""

import atexit
import os
import signal


def dask_setup(_: object) -> None:
    """Leave Ctrl-C to the process that waits for all workers, and end without a word."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_in_silence()


def end_in_silence() -> None:
    """Say nothing at the very end of this process.

    There DuckDB's binding names on many lines what a thread of the cluster's libraries still holds.
    """
    atexit.unregister(_close_errors)
    atexit.register(_close_errors)


def _close_errors() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
