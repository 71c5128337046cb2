"""One dictionary of a collection, and which of several is meant."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from harness.errors import Fault, InputError, first_few
from harness.specs.sites import HOOKS, Hook

USUAL_L0 = 100  # what a canonical SAE is nearest to, where none is marked


@dataclass(frozen=True)
class Entry:
    """One SAE. `path` is of its weights, within the collection; `l0` the published average.

    `layer` is as its `hook` counts it. `centred` is one of a stream whose mean over the dimensions was
    taken away, as TransformerLens does to models whose norms take it away themselves.
    """

    layer: int
    path: str
    width: str | None = None
    l0: int | None = None
    label: str | None = None
    canonical: bool = False
    neuronpedia: str | None = None
    hook: Hook = "resid_post"
    centred: bool = False

    @property
    def name(self) -> str:
        """How it is told apart from others of its layer."""
        parts = (self.width, self.l0 and f"L0 {self.l0}", self.label)
        return " ".join(str(part) for part in parts if part) or self.path


def features_of(width: str) -> int:
    """The number of features that a published width stands for: 16k is 16,384, 1m is 1,048,576."""
    number = int(width.rstrip("km")) * {"k": 1_000, "m": 1_000_000}.get(width[-1], 1)
    return 2 ** round(math.log2(number)) if width[-1] in "km" else number


def at_hook(entries: Iterable[Entry], hook: Hook, where: str) -> tuple[Entry, ...]:
    """Those of a hook. What reads a block's input reads the stream after the block below.

    Raises `InputError` where there are some, and all are of other hooks.
    """
    known = tuple(entries)
    found = tuple(one for entry in known if (one := _as_read(entry, hook)))
    if known and not found:
        others = [other for other in HOOKS if any(entry.hook == other for entry in known)]
        what = f"its SAEs are of {' and '.join(others)}, and not of {hook}"
        raise InputError(Fault(where, what, f"write `hook: {others[0]}`"))
    return found


def choose_entry(
    entries: Iterable[Entry],
    layer: int,
    width: str | None,
    l0: int | str | None,
    where: str,
    hook: Hook = "resid_post",
) -> Entry:
    """The SAE of a layer that is meant; raises `InputError` where there is none, or several.

    `l0` is a number, a label such as `medium`, or `canonical`: the one that is marked so, the only
    one, or the one whose L0 is nearest to 100. One with a skip connection is taken only where its label
    is named, or there is no other.
    """
    there = at_hook(entries, hook, where)
    candidates = [entry for entry in there if entry.layer == layer]
    if not candidates:
        layers = ranges(sorted({entry.layer for entry in there}))
        remedy = f"it has layers {layers}" if layers else "it has none that is known by its name"
        raise InputError(Fault(where, f"there is no SAE of layer {layer}", remedy))
    candidates = _of_l0(_of_width(candidates, width, where), l0, where)
    # Gemma Scope 2 has a main collection and one of all layers, whose folder ends in _all.
    for preferred in (_is_main, _is_plain):
        candidates = [entry for entry in candidates if preferred(entry)] or candidates
    if len({entry.width for entry in candidates}) > 1:
        widths = ", ".join(dict.fromkeys(str(entry.width) for entry in candidates))
        what = f"layer {layer} has SAEs of several widths"
        raise InputError(Fault(where, what, f"add `width:` with one of {widths}"))
    if len(candidates) > 1:
        paths = first_few([entry.path for entry in candidates], 4)
        what = f"layer {layer} has {len(candidates)} SAEs that fit: {paths}"
        ids = f", or name ids: {where.partition('/')[0]}/ID" if where.startswith("saelens:") else ""
        remedy = f"add `l0:`{ids}" if ids else "add `l0:` or `files:` to the target"
        raise InputError(Fault(where, what, remedy))
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


def _as_read(entry: Entry, hook: Hook) -> Entry | None:
    """An entry by the layer that it has at a hook; None where it is not of it."""
    if hook == "resid_post" and entry.hook == "resid_pre" and entry.layer > 0:
        return replace(entry, layer=entry.layer - 1, hook=hook)
    return entry if entry.hook == hook else None


def _of_width(candidates: list[Entry], width: str | None, where: str) -> list[Entry]:
    """Those of a width; a folder that says nothing of widths is taken at its word."""
    if width is None:
        return candidates
    found = [entry for entry in candidates if entry.width == width]
    if not found and any(entry.width for entry in candidates):
        widths = dict.fromkeys(entry.width for entry in candidates if entry.width)
        what = f"layer {candidates[0].layer} has no SAE of width {width}"
        raise InputError(Fault(where, what, f"it has {', '.join(widths)}"))
    return found or candidates


def _of_l0(candidates: list[Entry], l0: int | str | None, where: str) -> list[Entry]:
    """Those of an L0 or a label; without one, those that are marked canonical, where some are."""
    if l0 is not None and l0 != "canonical":
        found = [entry for entry in candidates if l0 in (entry.l0, entry.label)]
        if not found:
            what = f"layer {candidates[0].layer} has no SAE of L0 {l0}"
            names = ", ".join(entry.name for entry in candidates)
            raise InputError(Fault(where, what, f"it has {names}"))
        candidates = found
    marked = [entry for entry in candidates if entry.canonical]
    if l0 == "canonical" and not marked and len(candidates) > 1:
        far = {id(e): abs(e.l0 - USUAL_L0) for e in candidates if e.l0 is not None}
        marked = [e for e in candidates if far and far.get(id(e)) == min(far.values())]
    return marked or candidates


def _is_main(entry: Entry) -> bool:
    return "_all/" not in entry.path


def _is_plain(entry: Entry) -> bool:
    return "affine" not in (entry.label or "")
