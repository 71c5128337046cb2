"""SAELens' registry of published dictionaries: what `sae: saelens:RELEASE/ID` in a spec means.

Its facts are SAELens' (MIT, see `harness/catalogues/NOTICE`), in a table with one dictionary a row. The
user's own table, which `harness dictionaries --refresh` writes, counts before the package's.
"""

import csv
import gzip
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

from harness.errors import Fault, InputError, nearest
from harness.paths import PACKAGE, is_beside
from harness.specs.sae_entry import Entry, at_hook
from harness.specs.sae_places import Place, place_named
from harness.specs.settings import settings_folder
from harness.specs.sites import Hook

SAELENS = "saelens:"
TABLE = "saelens.csv.gz"
COLUMNS = (
    "release", "model", "repository", "loader", "id", "path", "hook_point", "l0", "factor", "centred",
    "norm", "neuronpedia",
)  # fmt: skip
LARGEST = 50_000_000  # bytes of a table
MOST = 100_000  # dictionaries
LONGEST = 2_000  # characters of a row
_LIST = "`harness dictionaries` lists them"
_WIDTH = re.compile(r"width_(\d+[km]?)|resid_pre_(\d+)$")
_L0 = re.compile(r"average_l0_(\d+)")
_LABEL = re.compile(r"_l0_([a-z]+(?:_affine)?(?:_seed_\d+)?)")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
# What each of SAELens' loaders adds to a dictionary's path.
FILES: Mapping[str, str] = {
    "sae_lens": "/sae_weights.safetensors",
    "gemma_2": "/params.npz",
    "gemma_2_transcoder": "/params.npz",
    "gemma_3": "/params.safetensors",
    "dictionary_learning_1": "/ae.pt",
    "llama_scope": "/checkpoints/final.safetensors",
    "llama_scope_r1_distill": "/sae_weights.safetensors",
    "sparsify": "/sae.safetensors",
    "qwen_scope": "",
    "mwhanna_transcoder": "",
}
_UNREAD: Mapping[str, str] = {
    "temporal": "it attends to earlier tokens, and a feature's value is of more than one position",
    "mntss_clt_layer_transcoder": "it is a cross-layer transcoder, which writes at several blocks",
    "goodfire": "its layout, a .pt or .pth without a configuration, is not read",
    "deepseek_r1": "its layout, a .pt without a configuration, is not read",
    "connor_rob_hook_z": "its layout, a .pt beside a _cfg.json, is not read",
}


@dataclass(frozen=True)
class Dictionary:
    """A dictionary of the registry. `hook_point` is where it reads, as TransformerLens names it.

    `factor` scales its input and `norm` normalises it where its own files do not say so; `centred` is
    one of a stream without its mean over the dimensions.
    """

    release: str
    model: str
    repository: str
    loader: str
    id: str
    path: str
    hook_point: str
    l0: int | None
    factor: float | None
    centred: bool
    norm: str
    neuronpedia: str | None

    @cached_property
    def place(self) -> Place | None:
        """Its block and hook; None where it is of no hook that a spec can name."""
        return place_named(self.hook_point)

    @property
    def why_not(self) -> str:
        """Why it cannot be read, in a sentence; empty where it can."""
        if self.loader not in FILES:
            return _UNREAD.get(self.loader, f"SAELens' loader {self.loader} is not known here")
        if re.search(r"(?:^|/)(?:clt|crosscoder)", self.path):
            return "it writes at several blocks"
        if self.place is None:
            site = re.sub(r"^blocks\.\d+\.", "", self.hook_point) or "what is not known"
            return f"it reads {site}, which is no hook of a spec"
        if self.factor is not None and self.loader == "sae_lens":
            return "its input is scaled by a factor that its own files do not hold"
        if self.norm:
            return f"its input is normalised ({self.norm}), which its own files do not say"
        return ""

    @property
    def entry(self) -> Entry:
        """The dictionary as an entry of its repository; only of one that can be read."""
        assert self.place is not None
        width, l0, label = (pattern.search(self.path) for pattern in (_WIDTH, _L0, _LABEL))
        return Entry(
            layer=self.place[0],
            path=self.path + FILES[self.loader],
            width=(width[1] or width[2]) if width else None,
            l0=self.l0 or (int(l0[1]) if l0 else None),
            label=label[1] if label else None,
            canonical=self.id.endswith("/canonical"),
            neuronpedia=self.neuronpedia,
            hook=self.place[1],
            centred=self.centred,
        )


class Chosen(NamedTuple):
    """The repository of what is meant, the hook that it is read at, and the layers that it has there."""

    repository: str
    hook: Hook
    layers: tuple[int, ...]


def user_table() -> Path:
    """Where a user's own table of the registry lies, once it was refreshed."""
    return settings_folder() / TABLE


def dictionaries() -> tuple[Dictionary, ...]:
    """Every dictionary of the registry. Raises `InputError` where the user's table is damaged."""
    own = user_table()
    path = own if own.is_file() else PACKAGE / "catalogues" / TABLE
    return _read(path, path.stat().st_mtime_ns)


def meant(sae: str) -> tuple[Dictionary, ...]:
    """The readable dictionaries of `saelens:RELEASE`, or those of the ids that follow it.

    In an id {layer} stands for the number of its block. Raises `InputError` where there are none.
    """
    release, _, pattern = sae.removeprefix(SAELENS).partition("/")
    there = dictionaries()
    of_release = [one for one in there if one.release == release]
    if not of_release:
        remedy = nearest(release, {one.release for one in there})
        raise InputError(Fault("sae", f"SAELens has no release '{release[:80]}'", remedy))
    named = [one for one in of_release if not pattern or one.id == _filled(pattern, one)]
    if not named:
        what = f"SAELens' release {release} has no '{pattern[:80]}'"
        raise InputError(Fault("sae", what, nearest(pattern, (one.id for one in of_release))))
    readable = tuple(one for one in named if not one.why_not)
    if not readable:
        what = f"{named[0].id} of SAELens' release {release} cannot be read: {named[0].why_not}"
        raise InputError(Fault("sae", what, f"name another one; {_LIST}"))
    return readable


def entries_of(sae: str) -> tuple[Entry, ...]:
    """The entries of `saelens:RELEASE/ID` within their repository. Raises `InputError` like `meant`."""
    return tuple(one.entry for one in meant(sae))


def chosen_of(sae: str, hook: Hook | None) -> Chosen:
    """Where `saelens:...` leads, at a `hook` or where most of it reads. Raises `InputError` like `meant`.

    Also where none of it is of the hook.
    """
    found = meant(sae)
    entries = [one.entry for one in found]
    hook = hook or Counter(entry.hook for entry in entries).most_common(1)[0][0]
    there = at_hook(entries, hook, "hook")
    return Chosen(found[0].repository, hook, tuple(sorted({entry.layer for entry in there})))


def _filled(pattern: str, one: Dictionary) -> str:
    layer = re.search(r"\d+", one.hook_point)
    return pattern.replace("{layer}", layer[0] if layer else "")


@cache
def _read(path: Path, _: int) -> tuple[Dictionary, ...]:
    """The rows of a table; the second argument is when it was written."""
    try:
        with gzip.open(path, "rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise ValueError("it is too large")
        head, *rows = csv.reader(data.decode("utf-8").splitlines())
        if tuple(head) != COLUMNS:
            raise ValueError("it has other columns")
        return tuple(dictionary_of(row) for row in rows)
    except (OSError, EOFError, ValueError, csv.Error) as error:
        what = f"the table of SAELens' registry cannot be read: {error}"
        remedy = "write it again with `harness dictionaries --refresh`, or remove it"
        raise InputError(Fault(str(path), what, remedy)) from None


def dictionary_of(row: Sequence[str]) -> Dictionary:
    """A row of a table. Raises `ValueError` where it is none."""
    *told, l0, factor, centred, norm, neuronpedia = row
    release, model, repository, loader, name, path, hook_point = told
    if not (_REPOSITORY.fullmatch(repository) and is_beside(path)):
        raise ValueError(f"{repository} {path} is no file of a repository")
    if not (line := "".join(row)).isprintable() or len(line) > LONGEST:
        raise ValueError("a row is too long, or holds control characters")
    return Dictionary(
        release, model, repository, loader, name, path, hook_point,
        int(l0) if l0 else None, float(factor) if factor else None, centred == "1", norm,
        neuronpedia or None,
    )  # fmt: skip
