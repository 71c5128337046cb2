"""Which SAEs a collection has, by layer, width and L0, and which of them is meant.

A collection is a folder or a repository. Its SAEs are known from a list that comes with the package,
or from the names of its files: GemmaScope's (`layer_5/width_16k/average_l0_68/params.npz`), Gemma
Scope 2's (`resid_post/layer_5_width_16k_l0_medium/params.safetensors`), SAELens' (a folder with
`cfg.json` and `sae_weights.safetensors`), dictionary_learning's (`resid_post_layer_5/trainer_0/ae.pt`) and
Llama Scope's (`Llama3_1-8B-Base-L5R-8x/checkpoints/final.safetensors`, `L5R/sae_weights.safetensors`).
"""

import csv
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import Fault, InputError, first_few
from harness.paths import PACKAGE
from harness.specs.sae_configuration import layer_said, site_layer

NAMES = (
    "params.npz", "params.safetensors", "sae_weights.safetensors", "ae.pt", "final.safetensors"
)  # fmt: skip
WEIGHTS = (".npz", ".safetensors", ".pt")  # how the names of files of weights end
USUAL_L0 = 100  # what a canonical SAE is nearest to, where none is marked
_LAYER = re.compile(r"layer_(\d+)(?![\dk])")
_HOOK = re.compile(r"(?:^|[._])(?:blocks|layers|h)\.\d+(?![\dk])")
_WIDTH = re.compile(r"width_(\d+[km]?)")
_L0 = re.compile(r"average_l0_(\d+)")
_OPENMOSS = re.compile(r"(?:^|[-/])L(\d+)R(?:[-/]|$)")
_LABEL = re.compile(r"_l0_([a-z]+(?:_seed_\d+)?)")
# Sites that are not the residual stream after a block, as the published collections name them.
OTHER_SITE = re.compile(
    r"(?:^|[-_/.])(att|attn|attn_out|hook_z|mlp|mlp_out|hook_mlp_out|mlp_in|transcoders?|clt|crosscoder"
    r"|embedding|L[\dX]+(?:A|M|TC))(?:[-_/.]|$)"
)


@dataclass(frozen=True)
class Entry:
    """One SAE. `path` is of its weights, within the collection; `l0` the published average."""

    layer: int
    path: str
    width: str | None = None
    l0: int | None = None
    label: str | None = None
    canonical: bool = False
    neuronpedia: str | None = None

    @property
    def name(self) -> str:
        """How it is told apart from others of its layer."""
        parts = (self.width, self.l0 and f"L0 {self.l0}", self.label)
        return " ".join(str(part) for part in parts if part) or self.path


def features_of(width: str) -> int:
    """The number of features that a published width stands for: 16k is 16,384, 1m is 1,048,576."""
    number = int(width.rstrip("km")) * {"k": 1_000, "m": 1_000_000}.get(width[-1], 1)
    return 2 ** round(math.log2(number)) if width[-1] in "km" else number


def read_catalogue(name: str) -> tuple[Entry, ...]:
    """A list that comes with the package: layer, width, average L0, path, canonical, Neuronpedia.

    The SAEs of the embedding are left out: there is no block whose output they read.
    """
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


def list_entries(files: Iterable[str]) -> tuple[Entry, ...]:
    """The SAEs of the residual stream among some files, read from their names."""
    entries = []
    for path in sorted(files):
        folder, _, name = path.rpartition("/")
        layer = _layer_in(folder)
        if name not in NAMES or layer is None or OTHER_SITE.search(folder):
            continue
        width, l0, label = (pattern.search(folder) for pattern in (_WIDTH, _L0, _LABEL))
        entries.append(
            Entry(
                layer=layer,
                path=path,
                width=width[1] if width else None,
                l0=int(l0[1]) if l0 else None,
                label=label[1] if label else None,
            )
        )
    return tuple(entries)


def scan_folder(folder: Path) -> tuple[Entry, ...]:
    """The SAEs of a local folder; a configuration beside them may say which layer they read.

    Raises `InputError` where all that it has is of another site than the residual stream.
    """
    if not folder.is_dir():
        raise InputError(Fault(str(folder), "it is not a folder", "name the folder of the SAEs"))
    files = sorted(
        path.relative_to(folder).as_posix()
        for name in NAMES
        for path in folder.rglob(name)
        if path.is_file()
    )
    configured = []
    for path in files:
        if path.endswith(NAMES[2:]) and (layer := layer_said(folder / path)) is not None:
            configured.append(Entry(layer, path))
    with_configuration = {entry.path for entry in configured}
    entries = (*configured, *list_entries(path for path in files if path not in with_configuration))
    if files and not entries and all(OTHER_SITE.search(path) for path in files):
        raise InputError(
            Fault(
                str(folder),
                f"its SAEs are not of the residual stream after a block ({first_few(files, 2)})",
                "name a folder of residual-stream SAEs: the harness reads and edits no other site",
            )
        )
    return tuple(sorted(entries, key=lambda entry: (entry.layer, entry.path)))


def choose_entry(
    entries: Sequence[Entry], layer: int, width: str | None, l0: int | str | None, where: str
) -> Entry:
    """The SAE of a layer that is meant; raises `InputError` where there is none, or several.

    `l0` is a number, a label such as `medium`, or `canonical`: the one that is marked so, the only
    one, or the one whose L0 is nearest to 100.
    """

    def refuse(what: str, remedy: str) -> InputError:
        return InputError(Fault(where, what, remedy))

    candidates = [entry for entry in entries if entry.layer == layer]
    if not candidates:
        layers = sorted({entry.layer for entry in entries})
        raise refuse(
            f"there is no SAE of layer {layer}",
            f"it has layers {ranges(layers)}"
            if layers
            else "it has none that is known by its name",
        )
    if width is not None:
        of_width = [entry for entry in candidates if entry.width == width]
        # A folder that says nothing of widths is taken at its word.
        if not of_width and any(entry.width for entry in candidates):
            widths = dict.fromkeys(entry.width for entry in candidates if entry.width)
            raise refuse(
                f"layer {layer} has no SAE of width {width}", f"it has {', '.join(widths)}"
            )
        candidates = of_width or candidates
    if l0 is not None and l0 != "canonical":
        of_l0 = [entry for entry in candidates if l0 in (entry.l0, entry.label)]
        if not of_l0:
            raise refuse(
                f"layer {layer} has no SAE of L0 {l0}",
                f"it has {', '.join(entry.name for entry in candidates)}",
            )
        candidates = of_l0
    marked = [entry for entry in candidates if entry.canonical]
    if l0 == "canonical" and not marked and len(candidates) > 1:
        with_l0 = [entry for entry in candidates if entry.l0 is not None]
        if with_l0:
            nearest = min(abs((entry.l0 or 0) - USUAL_L0) for entry in with_l0)
            marked = [e for e in with_l0 if abs((e.l0 or 0) - USUAL_L0) == nearest]
    candidates = marked or candidates
    # Gemma Scope 2 has a main collection and one of all layers, whose folder ends in _all.
    main = [entry for entry in candidates if "_all/" not in entry.path]
    candidates = main or candidates
    if len({entry.width for entry in candidates}) > 1:
        raise refuse(
            f"layer {layer} has SAEs of several widths",
            f"add `width:` with one of {', '.join(dict.fromkeys(str(e.width) for e in candidates))}",
        )
    if len(candidates) > 1:
        paths = first_few([entry.path for entry in candidates], 4)
        raise refuse(
            f"layer {layer} has {len(candidates)} SAEs that fit: {paths}",
            "add `l0:` or `files:` to the target",
        )
    return candidates[0]


def ranges(numbers: Sequence[int]) -> str:
    """Sorted numbers in few words: 0-5, 7."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)


def _layer_in(folder: str) -> int | None:
    for part in reversed(folder.split("/")):
        if _HOOK.search(part):
            return site_layer(part)
    layer = _LAYER.search(folder) or _OPENMOSS.search(folder)
    return int(layer[1]) if layer else None
