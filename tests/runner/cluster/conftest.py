"""What ends a process that was the client of a cluster."""

import atexit
import os
import sys


def _end_in_silence() -> None:
    """At the very end DuckDB's binding names on many lines what threads of a cluster's client still hold."""
    if "distributed" in sys.modules:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


atexit.register(_end_in_silence)
