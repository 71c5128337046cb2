"""Ids, pairs and families as they come: which was there before, and which is taken for another."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from harness.errors import Fault
from harness.specs.likeness import difference, looks_as, named_as


class Names:
    """The names of a prompt file so far: of each a number is held, and of an odd one its spelling."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._ids: dict[str, int] = {}
        # By kind, the line of each as it looks or reads, and how it is written where that is not the same.
        self._first: dict[str, dict[str, int]] = defaultdict(dict)
        self._written: dict[tuple[str, str], str] = {}
        self._said: set[str] = set()

    def repeated(self, number: int, line: Mapping[str, Any]) -> Iterator[Fault]:
        """An id that an earlier line has; of lines with faults as well."""
        name = line.get("id")
        if isinstance(name, str) and self._ids.setdefault(name, number) != number:
            yield Fault(
                f"{self._path}:{number}",
                f"id '{name}' is used on line {self._ids[name]} already",
                "give each prompt its own id",
            )

    def twins(self, number: int, line: Mapping[str, Any]) -> Iterator[Fault]:
        """Names that are taken for each other: what belongs together would count as independent.

        Ids and pairs are only labels, and may differ in case.
        """
        family = line.get("family", line["pair_id"])
        for field, name, key in (
            ("family", family, named_as(family)),
            ("pair", line["pair_id"], looks_as(line["pair_id"])),
            ("id", line["id"], looks_as(line["id"])),
        ):
            there = self._first[field].setdefault(key, number)
            if there == number and key != name:
                self._written.setdefault((field, key), name)
            other = self._written.get((field, key), key)
            if other != name and name not in self._said:
                self._said.add(name)
                yield Fault(
                    f"{self._path}:{number}",
                    f"{field} '{name}' differs from {field} '{other}' (line {there}) only in "
                    f"{difference(name, other)}",
                    "write both alike, or give them names that differ",
                )
