"""Features of one dictionary that lie nearest to those of another run's: by their decoders' directions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from harness.errors import CannotRun, Fault, HarnessError, Say
from harness.models.checksums import digest_of
from harness.models.language_model import LanguageModel
from harness.models.sae_files import sae_file
from harness.models.waiting import waiting_for
from harness.runner.context import RunContext
from harness.runner.sae_provider import sae_provider
from harness.runner.stored_target import target_of_run
from harness.runner.tasks import Crew
from harness.sae import Sae
from harness.specs.intervention import Feature
from harness.stats.matching import match_directions
from harness.store.stored_spec import stored_spec

DIGITS = 6  # of a cosine: what is beyond is rounding, which the number of threads decides
Nearest = tuple[int, float]  # a feature, and the cosine of its decoder direction with another's


@dataclass(frozen=True)
class DecoderMatcher:
    """Finds features of a run's SAEs in the place of those of another run's, of the same model."""

    crew: Crew
    hook: str

    def __call__(
        self, run: Mapping[str, Any], features: Sequence[Feature]
    ) -> dict[Feature, Nearest]:
        """By feature of that run's SAEs the one here, none twice. Raises `CannotRun`.

        Layer by layer the assignment whose cosines have the largest sum.
        """
        work = partial(nearest_features, hook=self.hook, run=run, features=tuple(features))
        nearest: dict[Feature, Nearest] = self.crew.call("match", work)
        return nearest


def nearest_features(
    context: RunContext, hook: str, run: Mapping[str, Any], features: Sequence[Feature]
) -> dict[Feature, Nearest]:
    """As `DecoderMatcher`, of the SAEs of a context, which are of the site `hook`."""
    where = f"run {run['run_id']}"
    if run["hook"] != hook:
        what = f"its SAEs are of {run['hook']}, and these of {hook}"
        raise CannotRun(Fault(where, what, "take a set that was frozen at the same site"))
    layers = sorted({layer for layer, _ in features})
    theirs = dictionaries_of(run, layers, context.model, context.limit.say)
    found: dict[Feature, Nearest] = {}
    for layer in layers:
        numbers = [feature for one, feature in features if one == layer]
        with waiting_for(f"matching features of layer {layer}"):
            other, own = theirs(layer), context.saes(layer)
            if max(numbers) >= other.features or len(numbers) > own.features:
                what = f"its SAE of layer {layer}, or this target's, has too few features"
                raise CannotRun(Fault(where, what, "run it again"))
            matches = match_directions(other.w_dec[numbers].cpu(), own.w_dec.cpu())
        for number, partner, cosine in zip(
            numbers, matches.partner.tolist(), matches.cosine.tolist(), strict=True
        ):
            found[layer, number] = partner, round(cosine, DIGITS)
    return found


def dictionaries_of(
    run: Mapping[str, Any], layers: Sequence[int], model: LanguageModel, say: Say
) -> Callable[[int], Sae]:
    """The SAEs that a stored run had, by layer, each read when it is asked for.

    A file is read as a whole: what is folded into a decoder needs its other arrays. Raises `CannotRun` where
    they cannot be found any more, or are others by now.
    """
    where = f"run {run['run_id']}"
    remedy = f"put them back, or run {run['spec_name']} again"
    try:
        target = target_of_run(run, stored_spec(run))
        if isinstance(run["sae_revision"], str):
            target = replace(target, sae_revision=run["sae_revision"])
        files = {} if target.mock else {layer: sae_file(target, layer) for layer in layers}
    except HarnessError as error:
        fault = error.faults[0]
        what = f"the SAEs that it had cannot be found any more: {fault.where}: {fault.what}"
        raise CannotRun(Fault(where, what, remedy)) from None
    then = dict(zip(map(int, run["layers"]), run["sae_hashes"], strict=False))
    for layer, file in files.items():
        if digest_of(file) != then.get(layer):
            what = (
                f"the SAE of layer {layer} that it had cannot be found any more: {file} is another"
            )
            raise CannotRun(Fault(where, what, remedy))
    target = replace(target, width=model.width, blocks=model.depth)
    return sae_provider(target, files, model, say)
