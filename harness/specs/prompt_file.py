"""A prompt file, JSON lines, as checked prompts: every fault at once, with file:line:column."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.errors import Fault, InputError, first_few, nearest
from harness.names import is_name
from harness.specs.prompt import Prompt
from harness.specs.prompt_lines import FIELDS, Line, faults_of_line, messages_of, text_of
from harness.specs.prompt_pairs import OLD, complete
from harness.specs.text_file import place_order, read_text
from harness.specs.variants import Variants

_FIELD = re.compile(rf'"({"|".join(FIELDS)})"\s*:')
LARGEST = 100_000_000  # bytes of a prompt file, some 100,000 prompts
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
    lines, faults = _lines(path)
    labels = _labels(lines)
    if (
        or_old
        and labels.keys().isdisjoint(variants.names)
        and not labels.keys().isdisjoint(OLD.names)
    ):
        variants = OLD
    if absent := _absent(labels, variants, path, asked):
        of_lines = [
            Fault(f"{path}:{number}", *wrong)
            for number, line in lines
            for wrong in faults_of_line(line)
        ]
        raise InputError(absent, *sorted({*faults, *of_lines}, key=place_order))
    balanced = balanced and not faults
    prompts, wrong = complete(str(path), lines, balanced=balanced, variants=variants, chat=chat)
    if faults or wrong:
        raise InputError(*sorted({*faults, *wrong}, key=place_order))
    return prompts


def load_texts(path: str | Path, *, chat: bool = False) -> tuple[Prompt, ...]:
    """Read and check a file of texts that are answered by nothing: lines with an `id` and a `prompt`.

    Each is a family of its own, without answers. What else a prompt's line may have is left aside. Raises
    `InputError` with all of its faults, and where there are fewer than two texts.
    """
    lines, faults = _lines(path)
    prompts: list[Prompt] = []
    seen: dict[tuple[str, str], int] = {}
    for number, line in lines:
        wrong = faults_of_line({"pair_id": "-", "label": OLD.correct, "answer": "-", **line})
        faults += [Fault(f"{path}:{number}", *one) for one in wrong]
        if not wrong:
            name, text, asked = line["id"], text_of(line), messages_of(line, chat)
            for field, value in (("id", name), ("prompt", text)):
                first = seen.setdefault((field, value), number)
                if first != number:
                    what = f"its '{field}' is that of line {first} as well"
                    faults.append(Fault(f"{path}:{number}", what, "change one"))
            prompts.append(
                Prompt(name, name, name, "correct", text, "", "", "", number, chat=asked)
            )
    if not faults and len(prompts) < FEWEST_TEXTS:
        faults.append(Fault(f"{path}:1", "it has one text, which has no spread", "add others"))
    if faults:
        raise InputError(*sorted({*faults}, key=place_order))
    return tuple(prompts)


def variants_in(path: str | Path) -> Variants:
    """What a prompt file's variants are called: its two labels in their order, or the old ones.

    Raises `InputError` where it is no prompt file.
    """
    labels = _labels(_lines(path)[0])
    named = [*labels] if len(labels) == 2 else OLD.names
    return Variants.compared(*named)


def left_aside(path: str | Path, variants: Variants) -> Counter[str]:
    """How many lines of a prompt file have each label that is not compared."""
    labels = _labels(_lines(path)[0])
    return Counter({label: n for label, n in sorted(labels.items()) if label not in variants.names})


def _lines(path: str | Path) -> tuple[list[Line], list[Fault]]:
    """A file's objects by line, and what is wrong with its JSON."""
    text = read_text(Path(path), LARGEST)
    lines: list[Line] = []
    faults: list[Fault] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line, object_pairs_hook=_distinct)
        except (ValueError, RecursionError) as error:
            # Beside faulty JSON, Python refuses numbers of thousands of digits.
            column = getattr(error, "colno", 1)
            what = getattr(error, "msg", "nested too deeply, or a number too long")
            faults.append(
                Fault(f"{path}:{number}:{column}", f"not JSON: {what}", "write one object a line")
            )
        except KeyError as error:
            what = f"field '{error.args[0]}' is given twice{_columns(line, error.args[0])}"
            faults.append(Fault(f"{path}:{number}", what, "keep one"))
        else:
            if isinstance(value, dict):
                lines.append((number, value))
            else:
                faults.append(Fault(f"{path}:{number}", "not an object", 'write {"id": ..., ...}'))
    if faults and not _FIELD.search(text):
        # Nothing of a file is shown that is another one: it may hold anything.
        raise InputError(Fault(str(path), "none of its lines is a prompt", "name a prompt file"))
    if not lines and not faults:
        faults.append(Fault(f"{path}:1", "the file has no prompts", "write one object a line"))
    return lines, faults


def _labels(lines: Sequence[Line]) -> Counter[str]:
    labels = (line.get("label") for _, line in lines)
    return Counter(label for label in labels if isinstance(label, str) and is_name(label))


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
