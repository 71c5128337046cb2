"""Names in a prompt file that are used twice, or taken for each other."""

from collections.abc import Sequence

from harness.errors import Fault
from harness.specs.likeness import difference, looks_as, named_as
from harness.specs.prompt_lines import Line


def duplicates(path: str, lines: Sequence[Line]) -> list[Fault]:
    """Ids that several lines of a prompt file have."""
    first: dict[str, int] = {}
    faults = []
    for number, line in lines:
        name = line.get("id")
        if isinstance(name, str) and first.setdefault(name, number) != number:
            faults.append(
                Fault(
                    f"{path}:{number}",
                    f"id '{name}' is used on line {first[name]} already",
                    "give each prompt its own id",
                )
            )
    return faults


def twins(path: str, lines: Sequence[Line]) -> list[Fault]:
    """Names that are taken for each other: what belongs together would count as independent.

    Ids and pairs are only labels, and may differ in case.
    """
    first: dict[tuple[str, str], tuple[str, int]] = {}
    said: set[str] = set()
    faults = []
    for number, line in lines:
        family = line.get("family", line["pair_id"])
        for field, name, key in (
            ("family", family, named_as(family)),
            ("pair", line["pair_id"], looks_as(line["pair_id"])),
            ("id", line["id"], looks_as(line["id"])),
        ):
            other, there = first.setdefault((field, key), (name, number))
            if other != name and name not in said:
                said.add(name)
                faults.append(
                    Fault(
                        f"{path}:{number}",
                        f"{field} '{name}' differs from {field} '{other}' (line {there}) only in "
                        f"{difference(name, other)}",
                        "write both alike, or give them names that differ",
                    )
                )
    return faults
