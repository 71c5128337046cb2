"""What is to be validated: a target by its name, or whatever model and SAEs are named in the call."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from harness.errors import Fault, InputError, nearest, too_long
from harness.paths import can_be_named
from harness.specs.local_paths import local_path, written_out
from harness.specs.plan import layers_of
from harness.specs.sae_catalogue import WEIGHTS, list_entries, read_catalogue, scan_folder
from harness.specs.sae_entry import at_hook
from harness.specs.spec_file import load
from harness.specs.target_choice import TargetChoice
from harness.specs.target_files import HERE, known_targets
from harness.specs.targets import NO_SAE, UNKNOWN, Target, check_choice, chosen, is_remote


def target_of(
    model: str, sae: str, layers: tuple[int, ...], spec: str | Path = ""
) -> tuple[Target, tuple[int, ...]]:
    """The target that a call means, and which layers' SAEs.

    Paths are those of whoever calls, and may lead anywhere. Raises `InputError`.
    """
    known = dict(known_targets(HERE))
    of_spec: dict[str, tuple[int, ...]] = {}
    if spec:
        file = load(spec)
        known |= file.targets
        of_spec = {name: layers_of(file.spec, target) for name, target in file.targets.items()}
    name = model if model in known else next(
        (name for name, target in known.items() if target.model == model), None
    )  # fmt: skip
    path, files, of_file = _file_of(sae)
    base = known[name] if name else replace(UNKNOWN, name=Path(model).name[:80] or "model")
    none = not sae and base.sae == NO_SAE
    choice = TargetChoice(
        model=None if name else model, sae=path or None, files=files,
        layers="none" if none else "default",
    )  # fmt: skip
    check_choice(base.name if name else model, choice, (), known)
    target = chosen(
        base, choice, base.model if name else _model(model, known),
        _given(path, known) if path else base.sae, known,
    )  # fmt: skip
    if none:
        return target, ()
    return target, layers or of_file or of_spec.get(base.name, ()) or _layers(target, bool(sae))


def _model(name: str, known: Mapping[str, Target]) -> str:
    """A folder or a repository; what is neither is a target's name misspelt."""
    given = _given(name, known)
    if "/" not in given:
        remedy = f"{nearest(name, known)} or name a folder or a repository, OWNER/NAME"
        raise InputError(Fault(name, "it is no target, and no folder here", remedy))
    return given


def _given(name: str, known: Mapping[str, Target]) -> str:
    """A path that is there, as a target has it; else a repository's name."""
    if not can_be_named(name):
        raise InputError(too_long(name))
    path = Path(name).expanduser()
    return written_out(path) if not is_remote(name, known) and path.exists() else name


def _file_of(sae: str) -> tuple[str, str | None, tuple[int, ...]]:
    """The folder of an SAE's file, the file's name, and its layer where its name or configuration says it."""
    path = Path(sae)
    if not sae.endswith(WEIGHTS) or not can_be_named(sae) or not path.is_file():
        return sae, None, ()
    here = [entry for entry in scan_folder(path.parent) if entry.path == path.name]
    there = here or list_entries([path.absolute().as_posix()])
    return str(path.parent), path.name, tuple(entry.layer for entry in there[:1])


def _layers(target: Target, other: bool) -> tuple[int, ...]:
    """Those that a target reads, or, of `other` SAEs than its own, all that there are."""
    if target.default_layers and (target.mock or not other):
        return target.default_layers
    folder = local_path(target.sae)
    if target.files is None and (folder or target.catalogue):
        listed = read_catalogue(target.catalogue or "") if folder is None else ()
        entries = (
            scan_folder(folder, target.hook) if folder else at_hook(listed, target.hook, target.sae)
        )
        if entries:
            return tuple(sorted({entry.layer for entry in entries}))
    what = f"which layers the SAEs of {target.sae} read is not known"
    raise InputError(Fault("--layers", what, "name them: --layers 5,12"))
