"""What a run computes with: its model, kept for the next one, and its SAEs, a few at a time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import Say
from harness.models.adaptive_batching import memory_is_said
from harness.models.checksums import verify
from harness.models.language_model import LanguageModel
from harness.models.loading import load_model
from harness.models.model_files import ModelFiles, model_files
from harness.models.sae_files import saes_or_mock
from harness.models.trial_sites import try_site
from harness.models.waiting import waiting_for
from harness.runner.context import How
from harness.runner.sae_provider import site_read
from harness.specs.targets import Target

# The model of the last run: pytest runs one spec after the other, and loading takes longest.
_last: dict[object, LanguageModel] = {}


@dataclass(frozen=True)
class Resources:
    """A loaded model, at the site that its SAEs read, where its files came from, and each SAE's file.

    `target` has random SAEs, and `sae_files` is empty, where its own could not be had.
    """

    target: Target
    model: LanguageModel
    model_files: ModelFiles
    sae_files: Mapping[int, Path]


def acquire(
    target: Target,
    layers: tuple[int, ...],
    *,
    device: str,
    how: How,
    mock_if_missing: bool,
    say: Say,
    note: Say = lambda _: None,
    check: Callable[[Target], None] = lambda _: None,
) -> Resources:
    """Fetch what is not here, and load the model. `check` is told of random SAEs before that.

    The order matters: what is quick and can fail comes before what takes gigabytes and minutes; `reach`
    comes before all of it. `say` hears what goes wrong, `note` besides what may. Raises
    `InputError` and `CannotRun`.
    """
    # Without SAEs there is nothing to read, so they are had before the model is loaded.
    usable, sae_files = saes_or_mock(target, layers, allowed=mock_if_missing, say=say)
    if usable.mock and not target.mock:
        check(usable)
    site = site_read(usable, sae_files)
    if usable.dtype == "float16":
        note("warning: float16 overflows in this family of models; bfloat16 and float32 do not")
    files = model_files(usable)
    with waiting_for(f"checking the files of {files.name}"):
        verify(files.folder, [*files.weights, *sae_files.values()])
    model = load_or_reuse(
        files, dtype=usable.dtype, device=device, attention=how.attention, bos=usable.bos
    )
    model = model.at(site)
    try_site(model)
    return Resources(usable, model, files, sae_files)


def load_or_reuse(files: ModelFiles, **how: Any) -> LanguageModel:
    """The model of these files; as `load_model`, but what was loaded last is not loaded again."""
    times = tuple((path, path.stat().st_mtime_ns) for path in files.weights)
    key = (files, times, tuple(how.items()))
    if key not in _last:
        _last.clear()
        with memory_is_said(f"loading {files.name}"):
            _last[key] = load_model(files, **how)
    return _last[key]
