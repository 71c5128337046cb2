"""`.pt` files as safetensors, whose tensors are the same, beside the configuration that they had.

What is converted says in its metadata which file it was: its name and its SHA-256, and those of the
configuration. So whoever has a run's hash of a file can tell what was published.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from harness.errors import CannotRun, Fault, InputError
from harness.paths import whole_file
from harness.sae import qwen_scope
from harness.sae.torch_file import open_pt
from harness.specs.sae_configuration import configurations_beside

SUFFIX = ".pt"


@dataclass(frozen=True)
class Converted:
    """A file that was written, and the SHA-256 of every file that has to do with it, by its path."""

    path: Path
    digests: dict[Path, str]


def convert(source: Path, folder: Path) -> Iterator[Converted]:
    """Write each `.pt` file of `source`, a file or a folder, as safetensors into `folder`.

    Files of a folder keep their place within it. All are looked at before the first is written, and none
    takes the place of another file. Raises `InputError` where there is nothing to convert, and
    `CannotRun` where a file would have to be run, is broken, or cannot be written.
    """
    files = [source] if source.is_file() else sorted(source.rglob(f"*{SUFFIX}"))
    if not files or any(file.suffix != SUFFIX for file in files):
        what = f"it is no {SUFFIX} file" if source.is_file() else f"it has no {SUFFIX} file"
        remedy = f"name a {SUFFIX} file, or a folder of some: others are read as they are"
        raise InputError(Fault(str(source), what, remedy))
    within = source.parent if source.is_file() else source
    targets = {}
    for file in files:
        target = (folder / file.relative_to(within)).with_suffix(".safetensors")
        _tensors(file)
        if target.exists():
            raise CannotRun(Fault(str(target), "it is there already", "name another folder"))
        targets[file] = target
    for file, target in targets.items():
        yield _converted(file, target)


def _converted(file: Path, target: Path) -> Converted:
    """One file written, with its configuration beside it."""
    digests = {file: _digest(file)}
    metadata = {"source": file.name, "source_sha256": digests[file]}
    beside = next((Path(name) for name in configurations_beside(file.as_posix())), None)
    said: bytes | None = None
    if beside is not None and beside.is_file():
        said = beside.read_bytes()
        digests[beside] = hashlib.sha256(said).hexdigest()
        metadata |= {"configuration": beside.name, "configuration_sha256": digests[beside]}
    elif qwen_scope.is_named_so(file) and (facts := qwen_scope.said_by(file)):
        said = json.dumps(facts).encode()  # the folder that says it stays behind
    try:
        if said is not None:
            _copy(said, target.parent / "config.json")
        # Copies, as safetensors writes no numbers that two tensors share.
        whole = torch.contiguous_format
        own = {name: one.clone(memory_format=whole) for name, one in _tensors(file).items()}
        with whole_file(target) as part:
            save_file(own, part, metadata)
    except (OSError, SafetensorError) as error:
        what = f"it cannot be written: {getattr(error, 'strerror', None) or error}"
        raise CannotRun(Fault(str(target), what, "make room, or name another folder")) from None
    return Converted(target, {target: _digest(target)} | digests)


def _tensors(file: Path) -> Mapping[str, Tensor]:
    """The tensors of a file, mapped and not read yet. Raises `CannotRun`."""

    def broken(what: str, remedy: str = "fetch the file again") -> CannotRun:
        return CannotRun(Fault(str(file), " ".join(what.split()), remedy))

    try:
        tensors = open_pt(file, broken)
    except OSError as error:
        raise broken(f"it cannot be read: {error.strerror or error}", "check the path") from None
    if odd := next((name for name, one in tensors.items() if one.is_complex()), None):
        raise broken(f"{odd} holds complex numbers, and no dictionary does", "name another file")
    return tensors


def _copy(said: bytes, path: Path) -> None:
    """A configuration beside what is converted; raises `CannotRun` where another one is there."""
    if path.exists() and path.read_bytes() != said:
        what = "another configuration is there already"
        raise CannotRun(Fault(str(path), what, "name another folder"))
    with whole_file(path) as part:
        part.write_bytes(said)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
