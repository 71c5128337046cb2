"""The file of each layer's SAE, fetched from the hub where it is not here."""

from collections.abc import Iterable
from pathlib import Path

from harness.errors import CannotRun, Fault, Say
from harness.models import hub_download as hub
from harness.specs.local_paths import local_path
from harness.specs.sae_catalogue import collection_of, known_entries
from harness.specs.sae_configuration import configurations_beside
from harness.specs.sae_entry import choose_entry
from harness.specs.target_hooks import check_hook
from harness.specs.targets import Target, mocked


def sae_file(target: Target, layer: int) -> Path:
    """The file of one layer's SAE, fetched from the hub where it is not here.

    Raises `CannotRun`, in one sentence, where it cannot be had, and `InputError` where the spec does
    not say which is meant.
    """
    folder = local_path(target.sae)
    collection = collection_of(target.sae, local=folder is not None)
    check_hook(target.sae, target.catalogue, target.hook)
    entry = target.entry(layer)
    if entry is None:
        found = known_entries(hub.files_of(target.sae, target.sae_revision), collection)
        wanted = target.sae_width, target.l0_of(layer), target.sae, target.hook
        entry = choose_entry(found, layer, *wanted)
    if folder is None:
        path = hub.fetch(target.sae, entry.path, target.sae_revision)
        for beside in configurations_beside(entry.path):
            if hub.fetch_if_any(target.sae, beside, target.sae_revision):
                break
        return path
    found_here = [folder / entry.path] if (folder / entry.path).is_file() else []
    matches = sorted(folder.glob(entry.path)) if "*" in entry.path else found_here
    if len(matches) != 1:
        raise CannotRun(
            Fault(
                str(folder / entry.path),
                "there is no such SAE" if not matches else "more than one SAE matches",
                "correct `files:`"
                if not matches
                else "keep one SAE a layer, or name it in `files:`",
            )
        )
    return matches[0]


def saes_or_mock(
    target: Target, layers: Iterable[int], *, allowed: bool, say: Say
) -> tuple[Target, dict[int, Path]]:
    """Each layer's SAE file; where one cannot be had and it is `allowed`, the target with random ones.

    Raises `CannotRun` and `InputError` like `sae_file`.
    """
    if target.mock:
        return target, {}
    try:
        return target, {layer: sae_file(target, layer) for layer in layers}
    except CannotRun as error:
        if not allowed:
            raise
        say(f"warning: {error}; going on with random SAEs, which are no evidence of anything")
        return mocked(target), {}


def sae_bytes(target: Target) -> int | None:
    """The size of one of the target's SAEs in float32."""
    if target.features is None or target.width is None:
        return None
    return 4 * (2 * target.features * target.width + 2 * target.features + target.width)
