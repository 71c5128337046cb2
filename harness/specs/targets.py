"""Targets: a model, its SAEs and its default layers, as data from `targets.toml` and the spec."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from harness.errors import Fault, InputError, nearest, too_long
from harness.names import is_name
from harness.paths import PACKAGE, bundled, can_be_named, find
from harness.specs.fields import WhereBos
from harness.specs.json_file import check_shape, read_mapping, shape_said
from harness.specs.local_paths import find_named, local_path, written_out
from harness.specs.prompt import Origin
from harness.specs.sae_catalogue import (
    Entry,
    choose_entry,
    features_of,
    read_catalogue,
    scan_folder,
)
from harness.specs.spec import TargetChoice

MOCK = "mock:"
MOCKS = ("orthogonal", "jumprelu")
MOCK_FEATURES = {"orthogonal": 1, "jumprelu": 4}  # times the width of the residual stream


@dataclass(frozen=True)
class Target:
    """What a spec runs on. `width` is the residual stream's, `sae_width` the SAEs' as published.

    `blocks` and `width` are None until the model is loaded, where nothing here tells them.
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
    def distribution(self) -> str | None:
        """What pip calls the package that carries the model."""
        return self.package and self.package.replace("_", "-")

    def entry(self, layer: int) -> Entry | None:
        """The SAE of a layer, where the list of SAEs is known here; None where only the hub knows.

        Raises `InputError` where there is none, or several.
        """
        if self.files is not None:
            return Entry(layer, self.files.replace("{layer}", str(layer)), width=self.sae_width)
        folder = local_path(self.sae)
        if folder is None and self.catalogue is None:
            return None
        entries = scan_folder(folder) if folder else read_catalogue(self.catalogue or "")
        return choose_entry(
            entries, layer, self.sae_width, self.l0_of(layer), str(folder or self.sae)
        )

    def l0_of(self, layer: int) -> int | str | None:
        """Which L0 is asked for at a layer."""
        if isinstance(self.l0, Mapping):
            return self.l0.get(layer, "canonical")
        return self.l0

    def neuronpedia(self, layer: int) -> str | None:
        """What Neuronpedia calls the SAE of a layer, where it has pages of its features."""
        entry = None if self.catalogue is None or self.mock else self.entry(layer)
        return None if entry is None else entry.neuronpedia

    def page(self, layer: int, feature: int) -> str | None:
        """The page of a feature on Neuronpedia, where it has one."""
        return feature_page(self.neuronpedia(layer), feature)


# What is assumed of a target that only its spec knows.
_UNKNOWN = Target("", "of the spec's own", "", "none", "float32", "real")


def feature_page(source: str | None, feature: int) -> str | None:
    """The address of a feature's page on Neuronpedia, of an SAE that is called `MODEL/SAE` there.

    None for what is no such name: it may come from a stranger's file.
    """
    parts = (source or "").split("/")
    if len(parts) != 2 or not all(map(is_name, parts)):
        return None
    return f"https://www.neuronpedia.org/{source}/{int(feature)}"


@dataclass(frozen=True)
class KnownFeature:
    """A feature that is known to tell the voices apart, and by how much (`auroc`, .5 to 1).

    `sign` is 1 where it is stronger for the confused voice, and -1 where it is weaker.
    """

    layer: int
    feature: int
    sign: int
    auroc: float


def load_truth(target: Target) -> tuple[KnownFeature, ...] | None:
    """The features that are known to carry the contrast; None where nothing is known."""
    if target.truth is None:
        return None
    known = json.loads(bundled(target.truth).read_text(encoding="utf-8"))["known"]
    names = tuple(field.name for field in fields(KnownFeature))
    return tuple(KnownFeature(**{name: entry[name] for name in names}) for entry in known)


@cache
def load_targets() -> Mapping[str, Target]:
    """Every target that specs know by name."""
    with (PACKAGE / "targets.toml").open("rb") as file:
        rows: dict[str, dict[str, Any]] = tomllib.load(file)
    frozen: dict[str, dict[str, Any]] = {
        name: {key: tuple(v) if isinstance(v, list) else v for key, v in row.items()}
        for name, row in rows.items()
    }
    return {name: Target(name=name, **row) for name, row in frozen.items()}


def resolve(name: str, choice: TargetChoice, *folders: Path) -> Target:
    """The target that a spec means: a known one with its own choices, or one of its own.

    A relative path is looked for in `folders` too. Raises `InputError`, at no place in particular.
    """
    _check_choice(name, choice, folders)
    base = load_targets().get(name) or replace(_UNKNOWN, name=name)
    model = base.model if choice.model is None else _path("model", choice.model, folders)
    sae = base.sae if choice.sae is None else _path("sae", choice.sae, folders)
    if choice.files is not None:
        _check_files(choice.files, local_path(sae) is not None)
    if choice.model is not None and model != base.model:
        blocks, width = _shape(model)
        base = replace(
            base, model=model, revision="main", package=None, blocks=blocks, width=width,
            bytes=None, parameters=None, architecture=None, gated=False, truth=None,
            origin=_origin(model, choice),
        )  # fmt: skip
    if choice.sae is not None and sae != base.sae:
        # A collection that another target uses is known here too, and read as it is there.
        other = next((target for target in load_targets().values() if target.sae == sae), _UNKNOWN)
        base = replace(
            base, sae=sae, sae_revision=other.sae_revision, catalogue=other.catalogue,
            sae_width=other.sae_width, l0=other.l0, truth=None,
        )  # fmt: skip
    made: dict[str, Any] = {
        "revision": choice.revision,
        "sae_revision": choice.sae_revision,
        "sae_width": choice.width,
        "l0": choice.l0,
        "files": choice.files,
        "dtype": choice.dtype,
        "bos": choice.bos,
    }
    base = replace(base, **{key: value for key, value in made.items() if value is not None})
    return replace(base, origin="mock") if base.mock is not None else base


def _check_choice(name: str, choice: TargetChoice, folders: tuple[Path, ...]) -> None:
    """Raises `InputError` where a spec can mean no target."""
    _check_names(choice, folders)
    if name not in load_targets():
        _check_own(name, choice)
    for key in ("model", "sae", "files"):
        if not can_be_named(getattr(choice, key) or ""):
            raise InputError(too_long(getattr(choice, key), key))
    sae = choice.sae or ""
    if sae.startswith(MOCK) and sae.removeprefix(MOCK) not in MOCKS:
        raise InputError(
            Fault("", f"there is no {sae}", f"use {' or '.join(MOCK + kind for kind in MOCKS)}")
        )


def _check_names(choice: TargetChoice, folders: tuple[Path, ...]) -> None:
    """Raises `InputError` where a target stands for a model or for SAEs, and is no folder here."""
    targets = load_targets()
    meant = {key: (getattr(choice, key) or "").casefold() for key in ("model", "sae")}
    for key, target in meant.items():
        given = getattr(choice, key)
        if target in targets and find(given, *folders) is None:
            own = "FOLDER" if choice.sae is None or meant["sae"] in targets else choice.sae
            used = "layers: none" if choice.layers == "none" else f"sae: {own}"
            write = f"{target}: {{{used}}}" if key == "model" else f"sae: {targets[target].sae}"
            what = f"{key} is '{given}', and that is a target"
            raise InputError(Fault(key, what, f"write `{write}`"))


def _check_own(name: str, choice: TargetChoice) -> None:
    """Raises `InputError` where a target that only the spec knows has no model or no SAEs."""
    alike = next((known for known in load_targets() if known.casefold() == name.casefold()), None)
    if choice.model is None:
        remedy = nearest(name, load_targets())
        if not remedy.endswith("?"):
            remedy += ", or give it a `model:` and an `sae:`"
        raise InputError(Fault("", f"unknown target '{name}'", remedy))
    if alike is not None:
        what = f"'{name}' differs from the known target '{alike}' only in case"
        raise InputError(Fault("", what, "rename it, or write it alike"))
    if choice.sae is None and choice.layers != "none":
        remedy = "add `sae:`, or `layers: none` for claims about behaviour alone"
        raise InputError(Fault("", f"target '{name}' has a model and no SAEs", remedy))


def _check_files(files: str, local: bool) -> None:
    remedy = "write it within `sae`, as layer_{layer}/params.npz"
    if files.startswith("/") or ".." in files:
        raise InputError(Fault("files", f"it leads out of `sae`: {files}", remedy))
    if not files.endswith((".npz", ".safetensors")):
        raise InputError(Fault("files", f"'{files}' is no file of weights", remedy))
    if "*" in files and not local:
        raise InputError(Fault("files", "a * needs a local folder", "write the whole path"))


def mocked(target: Target, kind: str = MOCKS[0]) -> Target:
    """The same model with random SAEs: nothing that it shows is evidence."""
    return replace(
        target, sae=MOCK + kind, origin="mock", catalogue=None, sae_width=None, l0=None, files=None,
        truth=None,
    )  # fmt: skip


def _path(key: str, name: str, folders: tuple[Path, ...]) -> str:
    """A path as it is found from here, or the name of a repository.

    A folder that is called like a known target's repository is not meant by that name.
    """
    known = {one for target in load_targets().values() for one in (target.model, target.sae)}
    found = None if name in known or name.startswith(MOCK) else find_named(name, *folders, what=key)
    return name if found is None else written_out(found)


def _shape(model: str) -> tuple[int | None, int | None]:
    """Blocks and width of a local model, from its `config.json`."""
    folder = local_path(model)
    said = None if folder is None else read_mapping(folder / "config.json")
    check_shape(said or {}, "model")
    return shape_said(said or {})


def _origin(model: str, choice: TargetChoice) -> Origin:
    """A stand-in stays one under another name."""
    folder = local_path(model)
    toys = [known for known in load_targets().values() if known.origin != "real"]
    same = any(
        folder is not None
        and (own := local_path(known.model))
        and own.resolve() == folder.resolve()
        for known in toys
    )
    return "stand-in" if choice.stand_in or same else "real"
