"""One thing that was measured of a model, against what is expected of it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch

from harness.errors import HarnessError

# The size of a difference between two streams, as a share of the stream's own.
STREAM_NEAR = {"float32": 1e-4, "float16": 5e-3, "bfloat16": 3e-2}
# Nats between two ways of adding up; of what is wrong far more is seen.
NATS_NEAR = {"float32": 1e-3, "float16": 0.1, "bfloat16": 0.5}


@dataclass(frozen=True)
class Check:
    """What was `found`, in words, where `expected` must hold.

    `holds` is None where it does not apply, or nothing can be expected. `value` is the figure that is held
    against `bound`, where there are such; `layer` is the SAE's.
    """

    name: str
    holds: bool | None
    found: str
    expected: str
    layer: int | None = None
    value: float | None = None
    bound: float | None = None


def within(name: str, value: float, bound: float, found: str, expected: str) -> Check:
    """A figure that must be `bound` at most; NaN is not."""
    return Check(name, value <= bound, found, f"{expected} {bound:.1g}", None, value, bound)


def tried(name: str, measure: Callable[[], Iterable[Check]]) -> Iterator[Check]:
    """The checks that a function makes; where a model's own code fails on the way, one that does not hold."""
    try:
        yield from measure()
    except (HarnessError, torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # whatever a stranger's code raises
        said = str(error).strip().split("\n")[0] or type(error).__name__
        yield Check(name, False, f"it fails: {said[:200]}", "it can be computed")
