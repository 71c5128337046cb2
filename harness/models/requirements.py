"""What a run reads, how large it is, and what of it is here. Asks no network."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from harness.models import hub_download as hub
from harness.models.model_files import is_cached, is_on_hub
from harness.models.sae_files import sae_bytes
from harness.paths import find
from harness.specs.targets import Target


@dataclass(frozen=True)
class Need:
    """Something that a run reads: from where, how large as far as is known, and whether it is here."""

    place: str
    what: str
    bytes: int | None
    here: bool


def needs(target: Target, layers: Iterable[int]) -> list[Need]:
    """What a run of these layers reads. Asks no network."""
    local = find(target.model)
    if local is not None:
        found = [Need(str(local), "the model", None, here=True)]
    elif target.package and not is_on_hub(target):
        found = [Need(f"package {target.package}", "the model", None, here=True)]
    else:
        found = [Need(target.model, "the model", target.bytes, here=is_cached(target))]
    if target.mock is not None:
        return found
    folder = find(target.sae)
    for layer in layers:
        entry = target.entry(layer)
        if entry is None:
            found.append(Need(target.sae, f"the SAE of layer {layer}", None, here=False))
            continue
        here = folder is not None or bool(hub.cached(target.sae, entry.path, target.sae_revision))
        found.append(Need(str(folder or target.sae), entry.path, sae_bytes(target), here=here))
    return found


def is_present(target: Target, layers: Iterable[int]) -> bool:
    """Whether a run would fetch nothing. Asks no network."""
    return all(need.here for need in needs(target, layers))


def is_local(target: Target) -> bool:
    """Whether the target lies in folders of this machine, whatever the cache of the hub has."""
    return find(target.model) is not None and (
        target.mock is not None or find(target.sae) is not None
    )


def model_bytes(target: Target) -> int | None:
    """What the model's weights take in memory, where its size is known before it is loaded."""
    size = {"float32": 4, "bfloat16": 2, "float16": 2}[target.dtype]
    count = parameters(target)
    return None if count is None else size * count


def parameters(target: Target) -> int | None:
    """How many weights a target's model has; of a local one, by the headers of its files."""
    folder = find(target.model)
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
