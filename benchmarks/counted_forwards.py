"""How often a model is asked for what, and for how many rows of replays."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness.models.language_model import LanguageModel

FORWARDS = ("token_scores", "cached_forward", "replay", "generate")
ROWS = "rows of replays"


@contextmanager
def counted_forwards() -> Iterator[Counter[str]]:
    """Calls of every model's methods by name, while it lasts, and `ROWS`."""
    counts = Counter[str]()
    plain = {name: getattr(LanguageModel, name) for name in FORWARDS}

    def counting(name: str) -> Any:
        def call(model: LanguageModel, *args: Any, **more: Any) -> Any:
            counts[name] += 1
            if name == "replay":
                counts[ROWS] += len(args[1].row)
            return plain[name](model, *args, **more)

        return call

    for name in FORWARDS:
        setattr(LanguageModel, name, counting(name))
    try:
        yield counts
    finally:
        for name, method in plain.items():
            setattr(LanguageModel, name, method)
