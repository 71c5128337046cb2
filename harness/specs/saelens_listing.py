"""What SAELens' registry has, as rows: its releases, the dictionaries of one, and how many can be read."""

from collections.abc import Callable, Iterable
from typing import Any

from harness.errors import Fault, InputError, nearest
from harness.specs.saelens import Dictionary


def counts(there: Iterable[Dictionary]) -> list[dict[str, Any]]:
    """How many there are by loader and hook, how many of them can be read, and why not the others."""
    return [
        {"loader": loader, "hook": hook, **_facts(some)}
        for (loader, hook), some in _by(there, lambda one: (one.loader, _hook(one)))
    ]


def releases(there: Iterable[Dictionary], word: str = "") -> list[dict[str, Any]]:
    """The releases whose name or model has a `word` in it. Raises `InputError` where none has."""
    known = list(there)
    found = [
        {
            "release": release,
            "model": some[0].model,
            "hook": ", ".join(dict.fromkeys(map(_hook, some))),
            **_facts(some),
            "repository": some[0].repository,
        }
        for (release,), some in _by(known, lambda one: (one.release,))
        if word.lower() in f"{release} {some[0].model}".lower()
    ]
    if not found:
        remedy = nearest(word, {one.release for one in known})
        raise InputError(Fault(word[:80], "SAELens has no such release or model", remedy))
    return sorted(found, key=lambda row: str(row["release"]))


def members(there: Iterable[Dictionary], release: str) -> list[dict[str, Any]]:
    """The dictionaries of a release; none where there is no such release."""
    return [_member(one) for one in there if one.release == release]


def _member(one: Dictionary) -> dict[str, Any]:
    entry = None if one.why_not else one.entry
    return {
        "id": one.id,
        "layer": one.place[0] if one.place else None,
        "hook": _hook(one),
        "width": entry.width if entry else None,
        "l0": entry.l0 if entry else one.l0,
        "label": entry.label if entry else None,
        "path": entry.path if entry else one.path,
        "neuronpedia": one.neuronpedia,
        "why not": one.why_not,
    }


def _hook(one: Dictionary) -> str:
    return one.place[1] if one.place else "none"


def _facts(some: list[Dictionary]) -> dict[str, Any]:
    reasons = dict.fromkeys(one.why_not for one in some if one.why_not)
    shown = [*reasons][:1] + ["..."] * (len(reasons) > 1)
    return {
        "dictionaries": len(some),
        "read": sum(not one.why_not for one in some),
        "why not": " ".join(shown),
    }


def _by(
    there: Iterable[Dictionary], key: Callable[[Dictionary], tuple[str, ...]]
) -> list[tuple[tuple[str, ...], list[Dictionary]]]:
    """Those of each key, the keys with most of them first."""
    grouped: dict[tuple[str, ...], list[Dictionary]] = {}
    for one in there:
        grouped.setdefault(key(one), []).append(one)
    return sorted(grouped.items(), key=lambda item: (-len(item[1]), item[0]))
