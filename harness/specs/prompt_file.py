"""A prompt file, JSON lines or Parquet, as checked prompts: every fault at once, with file:line:column."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import Fault, InputError, first_few, nearest
from harness.names import is_name
from harness.specs.parquet_rows import PARQUET, parquet_rows
from harness.specs.prompt import Prompt
from harness.specs.prompt_families import unbalanced
from harness.specs.prompt_lines import FIELDS, Line, faults_of_line, messages_of, text_of
from harness.specs.prompt_pairs import OLD, complete
from harness.specs.text_file import place_order, read_lines
from harness.specs.variants import Variants

_FIELD = re.compile(rf'"({"|".join(FIELDS)})"\s*:')
LARGEST = 4_000_000_000  # bytes of a prompt file, some ten million prompts
LONGEST = 10_000_000  # bytes of one of its lines
FEWEST_TEXTS = 2


def load_prompts(
    path: str | Path,
    *,
    balanced: bool = False,
    variants: Variants = OLD,
    or_old: bool = False,
    asked: str = "",
    chat: bool = False,
) -> tuple[Prompt, ...]:
    """Read and check a prompt file; raises `InputError` with all of its faults.

    `variants` are the labels that are compared, and `asked` is where they are named; lines of further
    labels are left aside. With `or_old`, a file that has neither may have the old ones. With `chat`, a
    text is what a user asks, and the model's own chat template puts it into tokens.
    """
    lines = PromptLines(Path(path))
    prompts, wrong = complete(str(path), lines, balanced=False, variants=variants, chat=chat)
    faults, labels = lines.faults, lines.labels
    if (
        or_old
        and labels.keys().isdisjoint(variants.names)
        and not labels.keys().isdisjoint(OLD.names)
    ):
        return load_prompts(path, balanced=balanced, asked=asked, chat=chat)
    if absent := _absent(labels, variants, path, asked):
        of_lines = [
            Fault(f"{path}:{number}", *wrong)
            for number, line in PromptLines(Path(path))
            for wrong in faults_of_line(line)
        ]
        raise InputError(absent, *sorted({*faults, *of_lines}, key=place_order))
    if balanced and not faults and not wrong:
        wrong = unbalanced(str(path), prompts, variants)
    if faults or wrong:
        raise InputError(*sorted({*faults, *wrong}, key=place_order))
    return prompts


def load_texts(path: str | Path, *, chat: bool = False) -> tuple[Prompt, ...]:
    """Read and check a file of texts that are answered by nothing: lines with an `id` and a `prompt`.

    Each is a family of its own, without answers. What else a prompt's line may have is left aside. Raises
    `InputError` with all of its faults, and where there are fewer than two texts.
    """
    lines = PromptLines(Path(path))
    faults: list[Fault] = []
    prompts: list[Prompt] = []
    seen: dict[tuple[str, str], int] = {}
    for number, line in lines:
        wrong = faults_of_line({"pair_id": "-", "label": OLD.correct, "answer": "-", **line})
        faults += [Fault(f"{path}:{number}", *one) for one in wrong]
        if not wrong:
            name, text, asked = line["id"], text_of(line), messages_of(line, chat)
            for part, value in (("id", name), ("prompt", text)):
                first = seen.setdefault((part, value), number)
                if first != number:
                    what = f"its '{part}' is that of line {first} as well"
                    faults.append(Fault(f"{path}:{number}", what, "change one"))
            prompts.append(
                Prompt(name, name, name, "correct", text, "", "", "", number, chat=asked)
            )
    faults += lines.faults
    if not faults and len(prompts) < FEWEST_TEXTS:
        faults.append(Fault(f"{path}:1", "it has one text, which has no spread", "add others"))
    if faults:
        raise InputError(*sorted({*faults}, key=place_order))
    return tuple(prompts)


def variants_in(path: str | Path) -> Variants:
    """What a prompt file's variants are called: its two labels in their order, or the old ones.

    Raises `InputError` where it is no prompt file.
    """
    labels = _labels(path)
    named = [*labels] if len(labels) == 2 else OLD.names
    return Variants.compared(*named)


def left_aside(path: str | Path, variants: Variants) -> Counter[str]:
    """How many lines of a prompt file have each label that is not compared."""
    labels = _labels(path)
    return Counter({label: n for label, n in sorted(labels.items()) if label not in variants.names})


@dataclass
class PromptLines:
    """A file's objects by line, or by row of a Parquet file, one after the other.

    At the end of them, `faults` is what is wrong with its JSON, and `labels` how many lines have each. Raises
    `InputError` where nothing of the file is a prompt.
    """

    path: Path
    faults: list[Fault] = field(default_factory=list)
    labels: Counter[str] = field(default_factory=Counter)

    def __iter__(self) -> Iterator[Line]:
        rows = parquet_rows(self.path) if self.path.suffix == PARQUET else self._objects()
        any_there = False
        for number, line in rows:
            any_there = True
            label = line.get("label")
            if isinstance(label, str) and (label in self.labels or is_name(label)):
                self.labels[label] += 1
            yield number, line
        if not any_there and not self.faults:
            what = "the file has no prompts"
            self.faults.append(Fault(f"{self.path}:1", what, "write one object a line"))

    def _objects(self) -> Iterator[Line]:
        a_prompt = False
        for number, line in enumerate(read_lines(self.path, LARGEST, LONGEST), start=1):
            a_prompt = a_prompt or _FIELD.search(line) is not None
            if line.strip():
                value = self._parsed(number, line)
                if value is not None:
                    yield number, value
        if self.faults and not a_prompt:
            # Nothing of a file is shown that is another one: it may hold anything.
            what = "none of its lines is a prompt"
            raise InputError(Fault(str(self.path), what, "name a prompt file"))

    def _parsed(self, number: int, line: str) -> dict[str, Any] | None:
        """The object of a line; None where it is none, which is then among the faults."""
        try:
            value = json.loads(line, object_pairs_hook=_distinct)
        except (ValueError, RecursionError) as error:
            # Beside faulty JSON, Python refuses numbers of thousands of digits.
            column = getattr(error, "colno", 1)
            what = f"not JSON: {getattr(error, 'msg', 'nested too deeply, or a number too long')}"
            place, remedy = f"{self.path}:{number}:{column}", "write one object a line"
        except KeyError as error:
            what = f"field '{error.args[0]}' is given twice{_columns(line, error.args[0])}"
            place, remedy = f"{self.path}:{number}", "keep one"
        else:
            if isinstance(value, dict):
                return value
            what, place, remedy = "not an object", f"{self.path}:{number}", 'write {"id": ..., ...}'
        self.faults.append(Fault(place, what, remedy))
        return None


def _labels(path: str | Path) -> Counter[str]:
    lines = PromptLines(Path(path))
    for _ in lines:
        pass
    return lines.labels


def _absent(labels: Counter[str], variants: Variants, path: str | Path, asked: str) -> Fault | None:
    """What is wrong where the labels are others than those that are compared.

    Where there are no others, each pair says by itself what it lacks.
    """
    further = [label for label in sorted(labels) if label not in variants.names]
    missing = [name for name in variants.names if not labels[name]]
    if not missing or not further:
        return None
    names = " and ".join(f"'{name}'" for name in missing)
    what = f"no line of {path} has the label{'s' * (len(missing) > 1)} {names}"
    advice = nearest(missing[0], labels)
    remedy = f"name two of its labels in `contrast`: {first_few(sorted(labels), 16)}"
    if advice.startswith("did you mean"):
        remedy = f"{advice} It has {first_few(sorted(labels), 16)}"
    return Fault(asked or f"{path}:1", what, remedy)


def _columns(line: str, field: str) -> str:
    """Where a line has a field, as far as it is written without escapes."""
    written = re.escape(json.dumps(field, ensure_ascii=False)) + r"\s*:"
    first, *others = [str(match.start() + 1) for match in re.finditer(written, line)] or [""]
    return f", in columns {', '.join([first, *others])}" if others else ""


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise KeyError(key)
        result[key] = value
    return result
