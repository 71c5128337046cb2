"""What a worker of this machine does as it begins."""

import atexit
import os
import signal


def dask_setup(_: object) -> None:
    """Leave Ctrl-C to the process that waits for all workers, and end without a word.

    At the very end DuckDB's binding names on many lines what a thread of the worker still holds.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    atexit.register(lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2))
