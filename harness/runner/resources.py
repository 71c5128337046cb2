"""What a run is given: its model, kept for the next one, and its SAEs, a few at a time."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.models.language_model import LanguageModel
from harness.models.loading import load_model
from harness.models.model_files import ModelFiles
from harness.sae.jumprelu import Sae
from harness.sae.mock import mock
from harness.sae.weights import load_sae
from harness.specs.targets import Target

# The model of the last run: pytest runs one spec after the other, and loading takes longest.
_last: dict[object, LanguageModel] = {}


def loaded(source: ModelFiles, **how: Any) -> LanguageModel:
    """The model of these files; as `load_model`, but what was loaded last is not loaded again."""
    stamps = tuple((path, path.stat().st_mtime_ns) for path in source.weights)
    key = (source, stamps, tuple(how.items()))
    if key not in _last:
        _last.clear()
        _last[key] = load_model(source, **how)
    return _last[key]


def sae_provider(
    target: Target,
    files: Mapping[int, Path],
    device: str,
    say: Callable[[str], None] = lambda _: None,
    seed: int = 0,
) -> Callable[[int], Sae]:
    """The SAE of a layer, read when it is asked for: never more than two are resident.

    `seed` is of random ones.
    """
    checked: set[int] = set()

    # One is held while the next is read.
    @lru_cache(maxsize=1)
    def sae(layer: int) -> Sae:
        width, features = target.width or 0, target.features
        if target.mock:
            return mock(target.mock, width, features or 0, layer, seed).to(device)
        found = load_sae(files[layer], width=width, layer=layer, checked=layer in checked)
        if layer not in checked and features not in (None, found.features):
            say(
                f"warning: {files[layer]} has {found.features} features where {features} are expected"
            )
        checked.add(layer)
        return found.to(device)

    return sae
