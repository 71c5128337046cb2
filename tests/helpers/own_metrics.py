"""Distributions that register metrics, made for a test: found by Python as any installed one is."""

import sys
from pathlib import Path

CODE = '''
import itertools
import numpy as np

def margin(positive, negative):
    """By how much the positive answer is the likelier one, at most 3 nats.

    More is not said.
    """
    return np.clip(positive - negative, -3, 3)

margin.unit = "capped nats"

def doubled(positive, negative):
    """Twice the difference."""
    return 2 * (positive - negative)

def mute(positive, negative):
    return positive

def short(positive, negative):
    """One number for all."""
    return (positive - negative).mean()

def infinite(positive, negative):
    """A ratio."""
    return (positive - negative) / np.where(positive > negative, 0.0, 1.0)

def raising(positive, negative):
    """Never."""
    raise RuntimeError("no such luck")

_calls = itertools.count()

def moody(positive, negative):
    """Another number each time."""
    return positive + next(_calls)

def ranked(positive, negative):
    """Its rank among all prompts."""
    return np.argsort(np.argsort(positive - negative)).astype(float)

def spoiling(positive, negative):
    """Zeroes what it is given."""
    positive[:] = 0
    return negative

unitless = lambda positive, negative: positive
unitless.__doc__ = "A unit that is no text."
unitless.unit = 7
NUMBER = 4
'''


def install(folder: Path, monkeypatch, *entries: str, name: str = "my-metrics") -> None:
    """A distribution whose entry points are like `margin = my_metrics_code:margin`."""
    module = name.replace("-", "_")
    (folder / f"{module}_code.py").write_text(CODE)
    info = folder / f"{module}-1.4.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.4\n")
    points = "\n".join(
        entry if "=" in entry else f"{entry} = {module}_code:{entry}" for entry in entries
    )
    (info / "entry_points.txt").write_text(f"[harness.metrics]\n{points}\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, f"{module}_code", raising=False)
