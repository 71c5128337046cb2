"""Where a target's weights are, on this machine or on the hub, and whether they are what they were."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from harness.faults import CannotRun, Fault
from harness.places import find
from harness.target import Target

SUMS = "SHA256SUMS"


def model_source(target: Target) -> str:
    """The folder of a local model, or the repository's name."""
    folder = find(target.model)
    return target.model if folder is None else str(folder)


def sae_file(target: Target, layer: int) -> Path:
    """The file of one layer's SAE, fetched from the hub where it is not here.

    Raises `CannotRun`, in one sentence, where it cannot be had.
    """
    name = target.sae_file(layer)
    folder = find(target.sae)
    if folder is not None:
        matches = sorted(folder.glob(name))
        if len(matches) != 1:
            raise CannotRun(
                Fault(
                    str(folder / name),
                    "there is no such SAE" if not matches else "more than one SAE matches",
                    "build the organism again with `nox -s fixtures`"
                    if target.origin == "stand-in"
                    else "keep one SAE a layer in the folder",
                )
            )
        return matches[0]
    try:
        return Path(hf_hub_download(target.sae, name, revision=target.sae_revision))
    except GatedRepoError:
        what, remedy = "it is gated", "accept its terms on the hub, then `hf auth login`"
    except RevisionNotFoundError:
        what, remedy = f"it has no revision {target.sae_revision}", "correct targets.toml"
    except RepositoryNotFoundError:
        what, remedy = "there is no such repository", "check the name, or `hf auth login`"
    except LocalEntryNotFoundError:
        what, remedy = f"{name} is not in the cache and the hub cannot be reached", "go online once"
    except EntryNotFoundError:
        what, remedy = f"it has no file {name}", "correct targets.toml"
    except (HfHubHTTPError, OSError) as error:
        what, remedy = f"the hub does not answer: {error}", "try again, or run `--target organism`"
    raise CannotRun(Fault(target.sae, what, remedy))


def is_present(target: Target, layers: Iterable[int]) -> bool:
    """Whether a run would fetch nothing. Asks no network."""
    if target.is_local:
        return True

    def cached(repository: str, name: str, revision: str) -> str | None:
        found = try_to_load_from_cache(repository, name, revision=revision)
        return found if isinstance(found, str) else None

    shards = ["model.safetensors"]
    if index := cached(target.model, "model.safetensors.index.json", target.revision):
        shards = sorted(set(json.loads(Path(index).read_text())["weight_map"].values()))
    return all(
        cached(target.model, name, target.revision) for name in ("config.json", *shards)
    ) and all(cached(target.sae, target.sae_file(layer), target.sae_revision) for layer in layers)


def verify(folder: Path, files: Iterable[Path]) -> None:
    """Compare files with the folder's `SHA256SUMS`, where it has one; raises `CannotRun`."""
    sums = folder / SUMS
    if not sums.exists():
        return
    wanted = {
        name: digest
        for digest, name in (line.split(maxsplit=1) for line in sums.read_text().splitlines())
    }
    for file in files:
        name = file.relative_to(folder).as_posix()
        if name not in wanted or digest_of(file) != wanted[name]:
            raise CannotRun(
                Fault(
                    str(file),
                    f"it is not the file that {SUMS} was written for",
                    "restore it, e.g. with `git checkout`",
                )
            )


def digest_of(*files: Path) -> str:
    """SHA-256 of the bytes of some files, one after the other."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
