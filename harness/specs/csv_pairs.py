"""A CSV of two columns as a prompt file: each row a pair, its texts under the names of the two variants.

The columns `NAME_answer` of both names say what the two answer, several answers of one set parted by `|`, and
`family` which pairs belong together. Without answers the last word of each text is its answer.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import CannotRun, Fault, InputError, first_few, nearest
from harness.names import is_name
from harness.paths import whole_file
from harness.specs.prompt_lines import Line
from harness.specs.prompt_pairs import complete
from harness.specs.text_file import place_order, read_text
from harness.specs.variants import Variants

LARGEST = 100_000_000  # bytes
ANSWER, FAMILY, OR = "_answer", "family", "|"


@dataclass(frozen=True)
class CsvPairs:
    """The pairs of a CSV as lines of a prompt file, and what their variants are called.

    `last_words` says that answers are the last words of the texts.
    """

    lines: tuple[dict[str, Any], ...]
    variants: Variants
    last_words: bool

    @property
    def text(self) -> str:
        """Of the prompt file."""
        return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in self.lines)


def read_csv(path: Path) -> CsvPairs:
    """The pairs of a CSV file. Raises `InputError` with all of its faults, at file:line."""
    reader = csv.reader(io.StringIO(read_text(path, LARGEST, marked=True), newline=""), strict=True)
    try:
        # The line that a row ends on: a cell in quotes may have several.
        rows = [(reader.line_num, row) for row in reader if any(map(str.strip, row))]
    except csv.Error as error:
        place = f"{path}:{reader.line_num}"
        raise InputError(Fault(place, f"not CSV: {error}", "put cells in quotes")) from None
    if not rows:
        raise InputError(Fault(f"{path}:1", "the file has no rows", _HEADER))
    (first, header), *pairs = rows
    header = [name.strip() for name in header]
    if faults := [Fault(f"{path}:{first}", *wrong) for wrong in _faults_of_header(header)]:
        raise InputError(*faults)
    if not pairs:
        raise InputError(
            Fault(f"{path}:{first}", "no row follows the header", "write a pair a row")
        )
    variants = Variants.compared(*header[:2])
    faults, lines = [], list[Line]()
    for number, (at, row) in enumerate(pairs, 1):
        try:
            lines += [(at, line) for line in _lines(header, row, number, len(str(len(pairs))))]
        except ValueError as error:
            faults.append(Fault(f"{path}:{at}", *error.args))
    _, wrong = complete(str(path), lines, balanced=False, variants=variants)
    if faults or (faults := wrong):
        raise InputError(*sorted(faults, key=place_order))
    made = tuple(dict(line) for _, line in lines)
    return CsvPairs(made, variants, last_words=header[0] + ANSWER not in header)


def write_pairs(path: Path, pairs: CsvPairs) -> Path:
    """Write a prompt file beside a CSV; its path. What is there and says something else is left alone.

    Raises `InputError` where it is, and `CannotRun` where it cannot be written.
    """
    made = path.with_suffix(".jsonl")
    if made.exists():
        if made.is_file() and read_text(made, LARGEST) == pairs.text:
            return made
        what = "it is there already, and has other prompts"
        raise InputError(Fault(str(made), what, f"remove it, or rename {path.name}"))
    try:
        with whole_file(made) as part:
            part.write_text(pairs.text, encoding="utf-8")
    except OSError as error:
        what = f"cannot be written: {(error.strerror or str(error)).lower()}"
        raise CannotRun(Fault(str(made), what, "copy the CSV elsewhere")) from None
    return made


_HEADER = "begin with the names of the two variants: clean,corrupted"


def _faults_of_header(header: Sequence[str]) -> Iterator[tuple[str, str]]:
    if len(header) < 2:
        remedy = _HEADER
        if any(one in header[0] for one in ";\t"):
            remedy = "put commas between the columns, which other signs part here"
        yield f"the header has one column, '{header[0][:40]}'", remedy
        return
    names = header[:2]
    for name in names:
        if not is_name(name):
            what = f"'{name[:40]}' is no name of a variant"
            yield what, f"{_HEADER}, of letters and digits, and `-`, `_` or `.` between them"
    if names[0].casefold() == names[1].casefold():
        yield f"both variants are called '{names[1]}'", "give them names that differ"
    answers = [name + ANSWER for name in names]
    for name in header[2:]:
        if name not in (*answers, FAMILY):
            yield f"unknown column '{name[:40]}'", nearest(name, (*answers, FAMILY))
    if twice := sorted({name for name in header[2:] if header.count(name) > 1}):
        yield f"column '{twice[0]}' is there twice", "keep one"
    missing = [name for name in answers if name not in header]
    if len(missing) == 1:
        remedy = "add it, or leave out both columns of answers"
        yield f"there is no column '{missing[0]}'", remedy


def _lines(
    header: Sequence[str], row: Sequence[str], number: int, digits: int
) -> list[dict[str, Any]]:
    """A row as the two lines of a pair. Raises `ValueError` with what is wrong, and what to do."""
    if len(row) != len(header):
        what = f"the row has {len(row)} cell{'s' * (len(row) != 1)}, and the header {len(header)}"
        raise ValueError(what, "put a cell with a comma in quotes")
    cells = {name: cell.strip() for name, cell in zip(header, row, strict=True)}
    if empty := [name for name, cell in cells.items() if not cell]:
        raise ValueError(
            f"nothing stands under {first_few(empty)}", "write it, or leave out the row"
        )
    pair = f"{number:0{digits}}"
    return [
        {
            "id": f"{pair}-{name}",
            "pair_id": pair,
            **({FAMILY: cells[FAMILY]} if FAMILY in cells else {}),
            "label": name,
            **_prompt_and_answer(cells, name, header[:2]),
        }
        for name in header[:2]
    ]


def _prompt_and_answer(
    cells: Mapping[str, str], name: str, names: Sequence[str]
) -> dict[str, str | list[str]]:
    text = cells[name]
    if name + ANSWER in cells:
        answers = [one.strip() for one in cells[name + ANSWER].split(OR)]
        return {"prompt": text, "answer": answers if len(answers) > 1 else answers[0]}
    prompt, _, answer = text.rpartition(" ")
    if not prompt.strip():
        what = f"'{text[:40]}' is one word, and its last word would be its answer"
        raise ValueError(what, f"add columns {names[0]}{ANSWER} and {names[1]}{ANSWER}")
    last = {cells[one].rpartition(" ")[2] for one in names}
    if len(last) == 1:
        what = f"both texts end in '{answer[:40]}', which tells their answers from each other in nothing"
        raise ValueError(what, f"add columns {names[0]}{ANSWER} and {names[1]}{ANSWER}")
    return {"prompt": prompt.rstrip(), "answer": answer}
