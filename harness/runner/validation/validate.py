"""A model and its SAEs, loaded and held against what every run takes for granted."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from harness.argument_types import checked
from harness.errors import Fault, HarnessError, InputError, Say
from harness.models.adaptive_batching import BatchLimit
from harness.models.arithmetic import exact_arithmetic
from harness.models.checksums import verify
from harness.models.devices import choose_device
from harness.models.language_model import LanguageModel
from harness.models.loading import Attention
from harness.models.memory import rows_that_fit
from harness.models.model_files import ModelFiles, model_files, reach
from harness.models.requirements import model_bytes
from harness.models.sae_files import saes_or_mock
from harness.models.trial_sites import try_site
from harness.runner.context import RunContext
from harness.runner.resources import load_or_reuse
from harness.runner.sae_provider import sae_provider, site_read
from harness.runner.validation.answers import answers, finite
from harness.runner.validation.beginnings import bos, chat_template
from harness.runner.validation.check import Check, tried
from harness.runner.validation.chosen_target import target_of
from harness.runner.validation.dictionaries import dictionaries
from harness.runner.validation.numbers import dtype as stored_dtype
from harness.runner.validation.numbers import float32
from harness.runner.validation.sample import Sample, sample_of
from harness.runner.validation.streams import replays, taps
from harness.specs.fields import Dtype
from harness.specs.targets import Target


@dataclass(frozen=True)
class Validation:
    """What was measured of a model, with which weights and where."""

    target: str
    model: str
    revision: str | None
    sae: str | None
    device: str
    dtype: str
    checks: tuple[Check, ...]

    @property
    def holds(self) -> bool:
        """Whether no check fails; what does not apply fails none."""
        return all(check.holds is not False for check in self.checks)

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"holds": self.holds} | asdict(self)


def _quiet(_: str) -> None:
    return None


@checked
def validate(
    model: str,
    sae: str = "",
    *,
    layers: tuple[int, ...] = (),
    spec: str | Path = "",
    prompts: str | Path = "",
    device: str = "auto",
    dtype: Dtype | None = None,
    attention: Attention = "eager",
    say: Say = _quiet,
) -> Validation:
    """Measure whether a model is read, edited and scored here as it is by itself, and whether its SAEs fit.

    Arguments:
        model: a target's name, a folder, a GGUF file or a repository of the hub.
        sae: SAEs in the place of the target's: a folder, a file or a repository.
        layers: of the SAEs; the target's where they are left out.
        spec: a path or name; its targets are known then, with the layers that it reads.
        prompts: a file of prompts; the built-in ones where it is left out.
        device: as of `run`.
        dtype: what the model computes in; the target's own where it is left out.
        attention: `eager` or `sdpa`.
        say: is given what is done, a line each.

    Returns:
        The checks, and whether all hold.

    Raises:
        InputError: the call is wrong.
        CannotRun: it cannot be loaded here.
    """
    target, layers = target_of(model, sae, layers, spec)
    target = replace(target, dtype=dtype or target.dtype)
    where, why = choose_device(device, model_bytes(target))
    say(f"{target.name} on {where} ({why})")
    reach(target)
    target, sae_files = saes_or_mock(target, layers, allowed=False, say=say)
    files = model_files(target)
    verify(files.folder, [*files.weights, *sae_files.values()])
    loaded = load_or_reuse(
        files, dtype=target.dtype, device=where, attention=attention, bos=target.bos
    )
    target = replace(target, width=loaded.width, blocks=loaded.depth)
    if beyond := [layer for layer in layers if not 0 <= layer < loaded.depth]:
        remedy = f"name layers from 0 to {loaded.depth - 1}"
        raise InputError(Fault(target.name, f"it has no layer {beyond[0]}", remedy))
    found = _measured(loaded, target, files, layers, sae_files, prompts, say)
    return Validation(
        target.name, files.name, files.revision, target.sae if layers else None,
        loaded.facts["device"], loaded.dtype, tuple(found),
    )  # fmt: skip


def _measured(
    model: LanguageModel,
    target: Target,
    files: ModelFiles,
    layers: Sequence[int],
    sae_files: Mapping[int, Path],
    prompts: str | Path,
    say: Say,
) -> list[Check]:
    """All checks; only one where the model's tokenizer makes rows of none of the built-in prompts."""
    try:
        sample = sample_of(model, prompts)
    except InputError as error:
        if prompts:
            raise
        found = f"{error.faults[0].what}; others can be named with --prompts"
        return [Check("tokens", False, found, "the built-in prompts can be tokenized")]
    say(f"{len(sample.texts)} prompts, {len(sample.few)} of them in the checks of the model")
    with exact_arithmetic(model.device), torch.no_grad():
        return [
            *checks_of_model(model, sample, files),
            *checks_of_saes(model, sample, target, layers, sae_files, say),
        ]


def checks_of_model(
    model: LanguageModel, sample: Sample, files: ModelFiles | None = None
) -> Iterator[Check]:
    """What every run takes for granted of a model, measured on a few prompts."""
    few = sample.few
    measured = {
        "bos": partial(bos, model, sample.texts, sample.rows),
        "chat template": partial(chat_template, model),
        "finite": partial(finite, model, few),
        "taps": partial(taps, model, few[-1]),
        "answers": partial(answers, model, few),
        "replays": partial(replays, model, few),
        "dtype": partial(stored_dtype, model, files),
        "float32": partial(float32, model, files, few),
    }
    for name, measure in measured.items():
        yield from tried(name, measure)


def checks_of_saes(
    model: LanguageModel,
    sample: Sample,
    target: Target,
    layers: Sequence[int],
    files: Mapping[int, Path],
    say: Say,
) -> Iterator[Check]:
    """What is expected of the SAE of each layer; one that cannot be read is a check that does not hold."""
    readable: list[int] = []
    for layer in layers:
        try:
            # Of files that read different sites, the first that can be read decides.
            known = {one: files[one] for one in (*readable[:1], layer) if one in files}
            if not readable:
                model = model.at(site_read(target, known))
                try_site(model)
                provider = sae_provider(target, files, model, say)
            site_read(target, known)
            provider(layer)
            readable.append(layer)
        except HarnessError as error:
            fault = error.faults[0]
            yield Check("sae file", False, f"{fault.what}; {fault.remedy}", "it can be read", layer)
    if readable:
        limit = BatchLimit(rows_that_fit(model, 64), say)
        context = RunContext("validate", target.origin, model, provider, limit)
        yield from dictionaries(context, readable, sample.rows)
