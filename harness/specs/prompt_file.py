"""A prompt file, JSON lines, as checked prompts: every fault at once, with file:line:column."""

import json
import re
from pathlib import Path
from typing import Any

from harness.errors import Fault, InputError
from harness.specs.prompt import Prompt
from harness.specs.prompt_pairs import OPTIONAL, REQUIRED, Line, complete
from harness.specs.text_file import place_order, read_text

_FIELD = re.compile(rf'"({"|".join(REQUIRED + OPTIONAL)})"\s*:')
LARGEST = 100_000_000  # bytes of a prompt file, some 100,000 prompts


def load_prompts(path: str | Path, *, balanced: bool = False) -> tuple[Prompt, ...]:
    """Read and check a prompt file; raises `InputError` with all of its faults."""
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
    prompts, wrong = complete(str(path), lines, balanced=balanced and not faults)
    if faults or wrong:
        raise InputError(*sorted({*faults, *wrong}, key=place_order))
    return prompts


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
