"""Targets: a model, its SAEs and its default layers, as data from `targets.toml` and the spec."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from harness.errors import Fault, InputError, nearest, too_long
from harness.names import is_name
from harness.paths import PACKAGE, can_be_named, find
from harness.specs.fields import WhereBos
from harness.specs.local_models import is_toy, shape_of
from harness.specs.local_paths import find_named, local_path, written_out
from harness.specs.prompt import Origin
from harness.specs.sae_catalogue import WEIGHTS, read_catalogue, scan_folder
from harness.specs.sae_entry import Entry, choose_entry, features_of
from harness.specs.saelens import SAELENS, chosen_of
from harness.specs.sites import Hook
from harness.specs.target_choice import TargetChoice
from harness.specs.target_hooks import check_hook

MOCK = "mock:"
MOCKS = ("orthogonal", "jumprelu")
MOCK_FEATURES = {"orthogonal": 1, "jumprelu": 4}  # times the width of the residual stream


@dataclass(frozen=True)
class Target:
    """What a spec runs on. `width` is the residual stream's, `sae_width` the SAEs' as published.

    `blocks` and `width` are None until the model is loaded, where nothing here tells them. `file` is the
    one of a user's own that lists it.
    """

    name: str
    summary: str
    model: str
    sae: str
    dtype: str
    origin: Origin
    blocks: int | None = None
    width: int | None = None
    layers: tuple[int, ...] = ()
    revision: str = "main"
    package: str | None = None
    sae_revision: str = "main"
    catalogue: str | None = None
    sae_width: str | None = None
    l0: int | str | Mapping[int, int | str] | None = None
    files: str | None = None
    bytes: int | None = None
    parameters: int | None = None
    architecture: Mapping[str, Any] | None = None
    gated: bool = False
    truth: str | None = None
    bos: WhereBos = "auto"
    hook: Hook = "resid_post"
    file: str | None = None

    @property
    def mock(self) -> str | None:
        """Which kind of random SAEs it has, where they are random."""
        return self.sae.removeprefix(MOCK) if self.sae.startswith(MOCK) else None

    @property
    def features(self) -> int | None:
        """How many features each of its SAEs has, where that is known before they are loaded."""
        if self.mock is not None:
            return None if self.width is None else MOCK_FEATURES[self.mock] * self.width
        return None if self.sae_width is None else features_of(self.sae_width)

    @property
    def default_layers(self) -> tuple[int, ...]:
        """What is read where nobody says; none without SAEs, or where the number of blocks is unknown."""
        return () if self.sae == NO_SAE else self.layers or tuple(range(self.blocks or 0))

    @property
    def distribution(self) -> str | None:
        """What pip calls the package that carries the model."""
        return self.package and self.package.replace("_", "-")

    def entry(self, layer: int) -> Entry | None:
        """The SAE of a layer, where the list of SAEs is known here; None where only the hub knows.

        Raises `InputError` where there is none, or several.
        """
        if self.files is not None:
            return Entry(
                layer, self.files.replace("{layer}", str(layer)), self.sae_width, hook=self.hook
            )
        folder, listed = local_path(self.sae), self.catalogue or ""
        if folder is None and not listed:
            return None
        entries = scan_folder(folder, self.hook) if folder else read_catalogue(listed)
        at_hub = not folder and not listed.startswith(SAELENS)
        if at_hub and all(one.hook != self.hook for one in entries):
            return None  # the list that comes with the package is of the stream alone
        where = self.sae if at_hub else str(folder or listed)
        return choose_entry(entries, layer, self.sae_width, self.l0_of(layer), where, self.hook)

    def l0_of(self, layer: int) -> int | str | None:
        """Which L0 is asked for at a layer."""
        return self.l0.get(layer, "canonical") if isinstance(self.l0, Mapping) else self.l0

    def neuronpedia(self, layer: int) -> str | None:
        """What Neuronpedia calls the SAE of a layer, where it has pages of its features."""
        entry = None if self.catalogue is None or self.mock else self.entry(layer)
        return None if entry is None else entry.neuronpedia

    def page(self, layer: int, feature: int) -> str | None:
        """The page of a feature on Neuronpedia, where it has one."""
        return feature_page(self.neuronpedia(layer), feature)


NO_SAE = "none"  # where a target has none, and only claims about behaviour can be made of it
# What is assumed of a target that only its spec knows.
UNKNOWN = Target("", "of the spec's own", "", NO_SAE, "float32", "real")


def feature_page(source: str | None, feature: int) -> str | None:
    """The address of a feature's page on Neuronpedia, of an SAE that is called `MODEL/SAE` there.

    None for what is no such name: it may come from a stranger's file.
    """
    parts = (source or "").split("/")
    if len(parts) != 2 or not all(map(is_name, parts)):
        return None
    return f"https://www.neuronpedia.org/{source}/{int(feature)}"


@cache
def load_targets() -> Mapping[str, Target]:
    """Every target that comes with the package."""
    with (PACKAGE / "targets.toml").open("rb") as file:
        rows: dict[str, dict[str, Any]] = tomllib.load(file)
    frozen: dict[str, dict[str, Any]] = {
        name: {key: tuple(v) if isinstance(v, list) else v for key, v in row.items()}
        for name, row in rows.items()
    }
    return {name: Target(name=name, **row) for name, row in frozen.items()}


def resolve(
    name: str, choice: TargetChoice, *folders: Path, known: Mapping[str, Target] | None = None
) -> Target:
    """The target that a spec means: a `known` one with its own choices, or one of its own.

    A relative path is looked for in `folders` too. The package's targets are known where none are given.
    Raises `InputError`, at no place in particular.
    """
    known = load_targets() if known is None else known
    check_choice(name, choice, folders, known)
    base = known.get(name) or replace(UNKNOWN, name=name)
    model = base.model if choice.model is None else _path("model", choice.model, folders, known)
    sae = base.sae if choice.sae is None else _path("sae", choice.sae, folders, known)
    return chosen(base, choice, model, sae, known)


def chosen(
    base: Target, choice: TargetChoice, model: str, sae: str, known: Mapping[str, Target]
) -> Target:
    """A target with what is chosen of it, whose model and SAEs are these. Raises `InputError`."""
    if choice.files is not None:
        _check_files(choice.files, local_path(sae) is not None)
    if choice.model is not None and model != base.model:
        blocks, width = shape_of(model)
        base = replace(
            base, model=model, revision="main", package=None, blocks=blocks, width=width,
            bytes=None, parameters=None, architecture=None, gated=False, truth=None,
            origin="stand-in" if choice.stand_in or is_toy(model, known) else "real",
        )  # fmt: skip
    if sae.startswith(SAELENS):
        base = _of_registry(base, sae, choice)
    elif choice.sae is not None and sae != base.sae:
        # A collection that another target uses is known here too, and read as it is there.
        other = next((target for target in known.values() if target.sae == sae), UNKNOWN)
        base = replace(
            base, sae=sae, sae_revision=other.sae_revision, catalogue=other.catalogue,
            sae_width=other.sae_width, l0=other.l0, hook=other.hook, truth=None,
        )  # fmt: skip
    made: dict[str, Any] = {
        "revision": choice.revision,
        "sae_revision": choice.sae_revision,
        "sae_width": choice.width,
        "l0": choice.l0,
        "files": choice.files,
        "dtype": choice.dtype,
        "bos": choice.bos,
        "hook": choice.hook,
    }
    base = replace(base, **{key: value for key, value in made.items() if value is not None})
    if choice.sae or choice.hook:
        check_hook(base.sae, base.catalogue, base.hook)
    return replace(base, origin="mock") if base.mock is not None else base


def _of_registry(base: Target, sae: str, choice: TargetChoice) -> Target:
    """A target with a release of SAELens' registry, or some of its ids. Raises `InputError`."""
    if choice.files is not None:
        what = f"`files:` and {sae} both say where a layer's SAE lies"
        raise InputError(Fault("files", what, "leave `files:` out, or name the repository"))
    found = chosen_of(sae, choice.hook)
    return replace(
        base, sae=found.repository, sae_revision="main", catalogue=sae, hook=found.hook, files=None,
        layers=tuple(layer for layer in base.layers if layer in found.layers) or found.layers,
        sae_width=None, l0=None, truth=None,
    )  # fmt: skip


def check_choice(
    name: str, choice: TargetChoice, folders: tuple[Path, ...], known: Mapping[str, Target]
) -> None:
    """Raises `InputError` where a spec can mean no target."""
    _check_names(choice, folders, known)
    if name not in known:
        _check_own(name, choice, known)
    elif choice.model is not None and (file := known[name].file):
        what = f"'{name}' is a target of {file}, and `model:` makes another one of it"
        raise InputError(Fault("model", what, "rename it here, or leave `model:` out"))
    elif known[name].sae == NO_SAE:
        _check_saes(name, choice)
    for key in ("model", "sae", "files"):
        if not can_be_named(getattr(choice, key) or ""):
            raise InputError(too_long(getattr(choice, key), key))
    sae = choice.sae or ""
    if sae.startswith(MOCK) and sae.removeprefix(MOCK) not in MOCKS:
        raise InputError(
            Fault("", f"there is no {sae}", f"use {' or '.join(MOCK + kind for kind in MOCKS)}")
        )


def _check_names(
    choice: TargetChoice, folders: tuple[Path, ...], known: Mapping[str, Target]
) -> None:
    """Raises `InputError` where a target stands for a model or for SAEs, and is no folder here."""
    meant = {key: (getattr(choice, key) or "").casefold() for key in ("model", "sae")}
    for key, target in meant.items():
        given = getattr(choice, key)
        if target in known and find(given, *folders) is None:
            own = "FOLDER" if choice.sae is None or meant["sae"] in known else choice.sae
            used = "layers: none" if choice.layers == "none" else f"sae: {own}"
            write = f"{target}: {{{used}}}" if key == "model" else f"sae: {known[target].sae}"
            what = f"{key} is '{given}', and that is a target"
            raise InputError(Fault(key, what, f"write `{write}`"))


def _check_own(name: str, choice: TargetChoice, known: Mapping[str, Target]) -> None:
    """Raises `InputError` where a target that only the spec knows has no model or no SAEs."""
    alike = next((one for one in known if one.casefold() == name.casefold()), None)
    if choice.model is None:
        remedy = nearest(name, known)
        if not remedy.endswith("?"):
            remedy += ", or give it a `model:` and an `sae:`"
        raise InputError(Fault("", f"unknown target '{name}'", remedy))
    if alike is not None:
        what = f"'{name}' differs from the known target '{alike}' only in case"
        raise InputError(Fault("", what, "rename it, or write it alike"))
    _check_saes(name, choice)


def _check_saes(name: str, choice: TargetChoice) -> None:
    if choice.sae is None and choice.layers != "none":
        remedy = "add `sae:`, or `layers: none` for claims about behaviour alone"
        raise InputError(Fault("", f"target '{name}' has a model and no SAEs", remedy))


def _check_files(files: str, local: bool) -> None:
    remedy = "write it within `sae`, as layer_{layer}/params.npz"
    if files.startswith("/") or ".." in files:
        raise InputError(Fault("files", f"it leads out of `sae`: {files}", remedy))
    if not files.endswith(WEIGHTS):
        raise InputError(Fault("files", f"'{files}' is no file of weights", remedy))
    if "*" in files and not local:
        raise InputError(Fault("files", "a * needs a local folder", "write the whole path"))


def mocked(target: Target, kind: str = MOCKS[0]) -> Target:
    """The same model with random SAEs: nothing that it shows is evidence."""
    return replace(
        target, sae=MOCK + kind, origin="mock", catalogue=None, sae_width=None, l0=None, files=None,
        hook="resid_post", truth=None,
    )  # fmt: skip


def is_remote(name: str, known: Mapping[str, Target]) -> bool:
    """Whether a name is never a folder's: a known target's repository, random SAEs, or a registry's."""
    return name.startswith((MOCK, SAELENS)) or any(
        name in (one.model, one.sae) for one in known.values()
    )


def _path(key: str, name: str, folders: tuple[Path, ...], known: Mapping[str, Target]) -> str:
    """A path as it is found from here, or the name of a repository.

    A folder that is called like a known target's repository is not meant by that name.
    """
    found = None if is_remote(name, known) else find_named(name, *folders, what=key)
    return name if found is None else written_out(found)
