"""What workers are asked to do in tests of the cluster: by name, as a worker finds it."""

import os
import signal
import time
from pathlib import Path


def square(context, number):
    """A work that ends."""
    return number * number


def slow(context, number, seconds=0.05):
    """One that takes its time."""
    time.sleep(seconds)
    return number


def fails(context, number):
    """One that always raises what nobody foresaw."""
    raise ValueError(f"number {number} is not liked")


def dies(context, number, left):
    """End the worker, so many times in all: each leaves a file in the folder `left`."""
    folder = Path(left)
    before = len(list(folder.glob("*")))
    if before < number:
        (folder / f"{os.getpid()}-{before}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def hangs(context, left, times):
    """Stand still, so many times in all."""
    folder = Path(left)
    before = len(list(folder.glob("*")))
    if before < times:
        (folder / f"{os.getpid()}-{before}").touch()
        time.sleep(1000)
    return "done"


def unpicklable(context, number):
    """Raise what cannot be sent."""
    raise RuntimeError(lambda: number)


def stops(context, left):
    """Be stopped by a signal, as by a debugger, the first time."""
    folder = Path(left)
    if not list(folder.glob("*")):
        (folder / str(os.getpid())).touch()
        os.kill(os.getpid(), signal.SIGSTOP)
    return "done"
