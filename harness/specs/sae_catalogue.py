"""Which SAEs a collection has, by layer, hook, width and L0.

A collection is a folder or a repository. Its SAEs are known from a list that comes with the package,
from SAELens' registry, or from the names of its files: GemmaScope's
(`layer_5/width_16k/average_l0_68/params.npz`), Gemma Scope 2's
(`resid_post/layer_5_width_16k_l0_medium/params.safetensors`), SAELens' (a folder with `cfg.json` and
`sae_weights.safetensors`), dictionary_learning's (`resid_post_layer_5/trainer_0/ae.pt`), Llama Scope's
(`Llama3_1-8B-Base-L5R-8x/checkpoints/final.safetensors`, `L5R/sae_weights.safetensors`), sparsify's
(`layers.5.mlp/sae.safetensors`), Qwen Scope's (`layer5.sae.pt`) and mwhanna's (`layer_5.safetensors`).
"""

import csv
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from harness.errors import Fault, InputError
from harness.paths import PACKAGE
from harness.specs.json_file import read_mapping
from harness.specs.sae_configuration import configurations_beside
from harness.specs.sae_entry import Entry, at_hook
from harness.specs.sae_places import place_named, place_said, word_of
from harness.specs.saelens import SAELENS, entries_of
from harness.specs.sites import Hook

NAMES = (
    "params.npz", "params.safetensors", "sae_weights.safetensors", "ae.pt", "final.safetensors",
    "sae.safetensors",
)  # fmt: skip
WEIGHTS = (".npz", ".safetensors", ".pt")  # how the names of files of weights end
_NUMBERED = re.compile(r"layer(\d+)\.sae\.pt|layer_(\d+)\.safetensors")
_LAYER = re.compile(r"layer_(\d+)(?![\dk])")
_HOOK = re.compile(r"(?:^|[._])(?:blocks|layers|h)\.\d+(?![\dk])")
_WIDTH = re.compile(r"width_(\d+[km]?)")
_L0 = re.compile(r"average_l0_(\d+)")
_OPENMOSS = re.compile(r"(?:^|[-/])L(\d+)(?:R|A|M|TC)(?:[-/]|$)")
_LABEL = re.compile(r"_l0_([a-z]+(?:_affine)?(?:_seed_\d+)?)")


def read_catalogue(name: str) -> tuple[Entry, ...]:
    """The SAEs of a list that comes with the package, or of a release of SAELens' registry.

    A list has layer, width, average L0, path, canonical, Neuronpedia. The SAEs of the embedding are left
    out: there is no block whose output they read. Raises `InputError` like `saelens.entries_of`.
    """
    if name.startswith(SAELENS):
        return entries_of(name)
    file = {"gemma-scope-2b-pt-res": NAMES[0]}.get(name, NAMES[1])
    with (PACKAGE / "catalogues" / f"{name}.csv").open(encoding="utf-8", newline="") as lines:
        return tuple(
            Entry(
                layer=int(row["layer"]),
                path=f"{row['path']}/{file}",
                width=row["width"],
                l0=int(row["average_l0"]),
                label=label[1] if (label := _LABEL.search(row["path"])) else None,
                canonical=row["canonical"] == "1",
                neuronpedia=row["neuronpedia_id"] or None,
            )
            for row in csv.DictReader(lines)
            if row["layer"] != "embedding"
        )


def known_entries(files: Iterable[str], collection: str = "") -> tuple[Entry, ...]:
    """The SAEs among some files of any hook, read from their names; `collection` is what they lie in."""
    named = (_named(path, collection) for path in sorted(files))
    return tuple(entry for entry in named if entry is not None)


def list_entries(files: Iterable[str], hook: Hook = "resid_post") -> tuple[Entry, ...]:
    """The SAEs of a hook among some files, read from their names; none where all are of others."""
    try:
        return at_hook(known_entries(files), hook, "")
    except InputError:
        return ()


def scan_folder(folder: Path, hook: Hook = "resid_post") -> tuple[Entry, ...]:
    """The SAEs of a hook of a local folder; a configuration beside them may say which layer they read.

    Raises `InputError` where all that it has is of other hooks.
    """
    if not folder.is_dir():
        raise InputError(Fault(str(folder), "it is not a folder", "name the folder of the SAEs"))
    files = sorted(
        path.relative_to(folder).as_posix()
        for name in (*NAMES, "layer*.sae.pt", "layer_*.safetensors")
        for path in folder.rglob(name)
        if path.is_file()
    )
    configured = [entry for path in files if (entry := _configured(folder, path))]
    with_configuration = {entry.path for entry in configured}
    rest = (path for path in files if path not in with_configuration)
    found = at_hook((*configured, *known_entries(rest, collection_of(folder))), hook, str(folder))
    return tuple(sorted(found, key=lambda entry: (entry.layer, entry.path)))


def collection_of(sae: str | Path, *, local: bool = True) -> str:
    """The name that tells what a collection is of: a repository's, or a folder's that is a copy of one.

    Any other folder may have any name.
    """
    name = Path(sae).name
    return name if not local or name.startswith("gemma-scope") else ""


def _configured(folder: Path, path: str) -> Entry | None:
    """An SAE whose configuration says where it reads."""
    weights = folder / path
    if path.endswith(NAMES[2:5]):
        place = place_said(configurations_beside(weights.as_posix()))
        return None if place is None else Entry(place[0], path, hook=place[1])
    if weights.name == NAMES[5]:
        # sparsify names the module, and not whether what it puts out is read or predicted.
        said = read_mapping(weights.parent / "cfg.json") or {}
        named = _named(path, "")
        return replace(named, hook="transcoder") if named and said.get("transcode") else named
    return None


def _named(path: str, collection: str) -> Entry | None:
    """The SAE that a path names; None where it names none, or one of no hook."""
    folder, _, name = path.rpartition("/")
    place = _numbered(name) if name not in NAMES else _place_in(folder)
    if place is None:
        return None
    layer, hook = place
    inner, outer = word_of(folder), word_of(collection)
    # A transcoder of sparsify lies in the folder of the MLP whose output it predicts.
    predicts = inner and inner[0] == "mlp_out" and outer and outer[0] == "transcoder"
    told = outer if predicts else inner or outer
    hook = told[0] if told else hook
    if hook is None:
        return None
    width, l0, label = (pattern.search(folder) for pattern in (_WIDTH, _L0, _LABEL))
    return Entry(
        layer=layer,
        path=path,
        width=width[1] if width else None,
        l0=int(l0[1]) if l0 else None,
        label=label[1] if label else None,
        hook=hook,
    )


def _numbered(name: str) -> tuple[int, Hook | None] | None:
    """The place of a file that is called by its layer: Qwen Scope's, or a transcoder of mwhanna's."""
    match = _NUMBERED.fullmatch(name)
    if match is None:
        return None
    return (int(match[1]), "resid_post") if match[1] else (int(match[2]), "transcoder")


def _place_in(folder: str) -> tuple[int, Hook | None] | None:
    for part in reversed(folder.split("/")):
        if _HOOK.search(part):
            return place_named(part)
    match = _LAYER.search(folder) or _OPENMOSS.search(folder)
    return (int(match[1]), "resid_post") if match else None
