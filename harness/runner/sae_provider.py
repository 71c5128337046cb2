"""The dictionaries of a run, each read when it is asked for, as ones of what the model's site holds."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from harness.errors import CannotRun, Fault, Say
from harness.models.language_model import LanguageModel
from harness.models.memory import free_memory
from harness.models.mlp_norms import mlp_norm
from harness.models.model_files import stream_width
from harness.runner.resident_saes import ResidentSaes
from harness.sae import Sae, load_sae
from harness.sae.centring import centred
from harness.sae.encoding import with_gain
from harness.sae.mock import mock
from harness.sae.weights import check_sae
from harness.specs.sites import Site
from harness.specs.targets import Target

RESIDENT = 4  # the part of a device's free memory that SAEs may take together


def sae_provider(
    target: Target,
    files: Mapping[int, Path],
    model: LanguageModel,
    say: Say = lambda _: None,
    seed: int = 0,
) -> Callable[[int], Sae]:
    """The SAE of a layer, read when it is asked for and kept where memory allows.

    All together take a quarter of what is free on the model's device now, or as much as one does. `seed`
    is of random ones. The model is at the site that they are of. What it gives raises `CannotRun` where a
    file is no SAE of that.
    """
    checked: set[int] = set()
    device = str(model.device)

    def read(layer: int) -> Sae:
        if target.mock:
            width, features = target.width or 0, target.features or 0
            random = mock(target.mock, width, features, layer, seed)
            return replace(random, site=model.site).to(device)
        found = read_sae(target, files[layer], layer, model, checked=layer in checked)
        if layer not in checked and target.features not in (None, found.features):
            say(
                f"warning: {files[layer]} has {found.features} features where {target.features} are "
                "expected"
            )
        checked.add(layer)
        return found.to(device)

    return ResidentSaes(read, (free_memory(device) or 0) // RESIDENT)


def read_sae(
    target: Target, file: Path, layer: int, model: LanguageModel, *, checked: bool = False
) -> Sae:
    """One SAE from its file, on the processor, of what the model's site holds at a layer.

    Raises `CannotRun` where it is of another width, or its norm's weights cannot be taken into account.
    """
    sae = load_sae(file, width=target.width or 0, layer=layer, hook=target.hook, checked=checked)
    if sae.held_width != model.held_width:
        what = f"it reads {sae.width} dimensions, and there are {model.held_width}"
        raise CannotRun(Fault(str(file), what, "name an SAE of this model"))
    if target.catalogue and (entry := target.entry(layer)):
        sae = replace(sae, l0=sae.l0 or entry.l0)
        sae = centred(sae) if entry.centred else sae
    if not sae.without_gain:
        return sae
    norm = mlp_norm(model.parts(layer))
    if norm.centred:
        what = (
            "it reads ln2.hook_normalized, which in a model with LayerNorm is after the norm's weights, or "
            "before them where these were folded"
        )
        remedy = f"write blocks.{layer}.mlp.hook_in into its configuration if they were not"
        raise CannotRun(Fault(str(file), what, remedy))
    try:
        return with_gain(sae, norm.gain.cpu(), norm.bias.cpu())
    except ValueError as error:
        remedy = "name a transcoder of what the MLP reads"
        raise CannotRun(
            Fault(str(file), f"it reads a normed stream, but {error}", remedy)
        ) from None


def site_read(target: Target, files: Mapping[int, Path]) -> Site:
    """What the SAEs read, by their headers; of random ones, what is asked for.

    Raises `CannotRun` where a file is refused for its headers, or where they read different sites.
    """
    read = {
        check_sae(path, width=stream_width(target), layer=layer, hook=target.hook)
        for layer, path in files.items()
    }
    if len(read) > 1:
        what = f"its layers read different sites: {', '.join(sorted(read))}"
        raise CannotRun(Fault(target.sae, what, "name layers that read the same"))
    return next(iter(read), target.hook)
