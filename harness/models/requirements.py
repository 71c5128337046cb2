"""What a run reads, how large it is, and what of it is here. Asks no network."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from math import prod

from harness.errors import first_few
from harness.models import hub_download as hub
from harness.models.model_files import is_cached, is_on_hub
from harness.models.sae_files import sae_bytes
from harness.specs.local_paths import local_path
from harness.specs.targets import Target

FOLDER, PACKAGE, CACHE = "folder", "package", "hub's cache"


@dataclass(frozen=True)
class Need:
    """Something that a run reads: from where, how large as far as is known, and whether it is here.

    `source` is a folder, a package or the hub's cache; of what is here `revision` is the commit, or the
    package's version.
    """

    place: str
    what: str
    bytes: int | None
    here: bool
    source: str
    revision: str | None = None


def needs(target: Target, layers: Iterable[int]) -> list[Need]:
    """What a run of these layers reads. Asks no network."""
    local = local_path(target.model)
    if local is not None:
        found = [Need(str(local), "the model", None, here=True, source=FOLDER)]
    elif target.distribution and not is_on_hub(target):
        about = (PACKAGE, _installed_version(target.distribution))
        found = [Need(target.distribution, "the model", None, True, *about)]
    else:
        config = hub.cached(target.model, "config.json", target.revision)
        commit = hub.commit_of(config) if config else None
        here = is_cached(target)
        found = [Need(target.model, "the model", target.bytes, here, CACHE, commit)]
    if target.mock is None:
        found += [_need_of_sae(target, layer) for layer in layers]
    return found


def _need_of_sae(target: Target, layer: int) -> Need:
    entry, folder = target.entry(layer), local_path(target.sae)
    if entry is None:
        return Need(target.sae, f"the SAE of layer {layer}", None, False, CACHE)
    if folder is not None:
        return Need(str(folder), entry.path, sae_bytes(target), True, FOLDER)
    file = hub.cached(target.sae, entry.path, target.sae_revision)
    commit = hub.commit_of(file) if file else None
    return Need(target.sae, entry.path, sae_bytes(target), file is not None, CACHE, commit)


def found_here(needs: Iterable[Need]) -> list[str]:
    """What is here, a line for each place: what of it, where, and in which revision."""
    by_place: dict[tuple[str, str], list[str]] = defaultdict(list)
    for need in needs:
        if need.here:
            revision = f", revision {need.revision}" if need.source == CACHE else ""
            where = (
                f"{need.source} {need.revision or ''}".strip()
                if need.source == PACKAGE
                else need.source
            )
            by_place[need.place, where + revision].append(need.what)
    return [
        f"{place} ({where}): {first_few(whats, 3)}" for (place, where), whats in by_place.items()
    ]


def model_in_words(target: Target) -> str:
    """Which weights stand for a target's model: not its own, where a package has others."""
    (model, *_) = needs(target, ())
    if model.source != PACKAGE:
        return target.model
    return f"{PACKAGE} {model.place} {model.revision}, in the place of {target.model},"


def _installed_version(distribution: str) -> str | None:
    """The version of a package; None where nobody installed it, but it can be imported."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def is_present(target: Target, layers: Iterable[int]) -> bool:
    """Whether a run would fetch nothing. Asks no network."""
    return all(need.here for need in needs(target, layers))


def is_local(target: Target) -> bool:
    """Whether the target lies in folders of this machine, whatever the cache of the hub has."""
    return local_path(target.model) is not None and (
        target.mock is not None or local_path(target.sae) is not None
    )


def model_bytes(target: Target) -> int | None:
    """What the model's weights take in memory, where its size is known before it is loaded."""
    size = {"float32": 4, "bfloat16": 2, "float16": 2}[target.dtype]
    count = parameters(target)
    return None if count is None else size * count


def parameters(target: Target) -> int | None:
    """How many weights a target's model has; of a local one, by the headers of its files."""
    folder = local_path(target.model)
    if target.parameters is not None or folder is None:
        return target.parameters
    total = 0
    for path in folder.glob("*.safetensors"):
        try:
            with path.open("rb") as file:
                size = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(min(size, 1 << 26)))
            shapes = [entry["shape"] for name, entry in header.items() if name != "__metadata__"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        total += sum(prod(shape) for shape in shapes)
    return total or None


def gigabytes(size: int | None) -> str:
    """A number of bytes as people read it."""
    if size is None:
        return "unknown"
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
