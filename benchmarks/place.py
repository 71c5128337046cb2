"""Where a benchmark computes: on the processor, or on another device that it is told."""

import os

import torch

VARIABLE = "HARNESS_BENCH_DEVICE"  # a process hands it on to those that it starts
AT_LEAST = 1.0  # times as fast as another way, on a device whose figures nobody has measured before


def choose(device: str) -> None:
    """Compute there from now on."""
    os.environ[VARIABLE] = device


def place() -> torch.device:
    """The device that was chosen; the processor where none was."""
    return torch.device(os.environ.get(VARIABLE, "cpu"))


def wait() -> None:
    """Until the device has done what it was asked for."""
    if place().type == "cuda":
        torch.cuda.synchronize(place())


def bar(on_processor: float) -> float:
    """What a ratio of times has to reach: a processor's figure there, elsewhere no less than ours alone."""
    return on_processor if place().type == "cpu" else AT_LEAST
