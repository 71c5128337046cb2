"""Lines of pairs until both variants of one are there; after that, of a line only its number."""

from collections.abc import Mapping

from harness.specs.prompt import LABELS, Label
from harness.specs.prompt_lines import Line
from harness.specs.variants import Variants


class Pairs:
    """The pairs of a prompt file so far, by name; those of complete ones were handed out."""

    def __init__(self, variants: Variants) -> None:
        self.incomplete: dict[str, dict[str, Line]] = {}
        self._names = variants.names
        self._complete: dict[str, tuple[int, int]] = {}
        self._aside: dict[tuple[str, str], int] = {}  # further labels of complete pairs

    def line_of(self, pair_id: str, label: str) -> int:
        """The line of a variant that was taken before; 0 where none was."""
        if pair_id not in self._complete:
            return self.incomplete.get(pair_id, {}).get(label, (0, {}))[0]
        if label in self._names:
            return self._complete[pair_id][self._names.index(label)]
        return self._aside.get((pair_id, label), 0)

    def take(self, number: int, line: Mapping[str, object]) -> dict[Label, Line]:
        """Take a line; both lines of its pair, by role, where this one completes it, else none."""
        pair_id, label = str(line["pair_id"]), str(line["label"])
        if pair_id in self._complete:
            self._aside[pair_id, label] = number
            return {}
        of_pair = self.incomplete.setdefault(pair_id, {})
        of_pair[label] = (number, line)
        if label not in self._names or not all(name in of_pair for name in self._names):
            return {}
        del self.incomplete[pair_id]
        compared = {role: of_pair.pop(name) for role, name in zip(LABELS, self._names, strict=True)}
        first, second = (compared[role][0] for role in LABELS)
        self._complete[pair_id] = first, second
        self._aside |= {(pair_id, other): at for other, (at, _) in of_pair.items()}
        return compared
