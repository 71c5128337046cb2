"""What pydantic says of a spec, in the words of the spec language: where, what, what to do."""

import datetime
import json
import math
import re
from collections.abc import Sequence
from functools import partial
from typing import Any

from pydantic import BaseModel

from harness.errors import nearest
from harness.specs.ablations import Ablation, Select
from harness.specs.claims import A_CLAIM_IS, CLAIM_KINDS
from harness.specs.contrast import Contrast
from harness.specs.fields import KeyPath
from harness.specs.numbers import yaml_number
from harness.specs.spec import Readout, Shortcuts, Spec, Split
from harness.specs.target_choice import TargetChoice
from harness.specs.variants import MISNAMED, variants_of
from harness.specs.yaml_source import excerpt_of

# The model that holds each mapping of a spec, so that an unknown key can be answered with a known one.
_PARTS: dict[KeyPath, type[BaseModel]] = {
    (): Spec,
    ("targets", "*"): TargetChoice,
    ("readout",): Readout,
    ("shortcuts",): Shortcuts,
    ("split",): Split,
    ("contrast",): Contrast,
    ("ablations", "*"): Ablation,
    ("ablations", "*", "select"): Select,
}


IN_QUOTES = "put it in quotes"
A_LAYER = "write a layer as a whole number: 12"


def explain(data: Any, detail: Any) -> tuple[KeyPath, str, str]:
    """A validation error as (path, what, what to do)."""
    at = _resolved(data, detail["loc"])
    last = next((step for step in reversed(at) if isinstance(step, str)), "the spec")
    kind, context = detail["type"], detail.get("ctx", {})
    if detail["loc"][-1:] == ("[key]",):
        if kind == "layer_key":
            return at, f"'{last}' is no layer", A_LAYER
        last = "the key"
    if kind == "extra_forbidden":
        return at, f"unknown key '{last}'", nearest(last, _fields_at(data, at[:-1]))
    if kind == "missing":
        return at, f"'{detail['loc'][-1]}' is missing", "add it"
    if kind == "literal_error":
        variants = variants_of(data)
        valid = [variants.named(one) for one in re.findall(r"'([^']*)'", context["expected"])]
        given = detail["input"]
        if isinstance(given, str) and given.endswith(MISNAMED):
            # What is near it may be the other variant: `correct` is nearer to `corrupted` than to `clean`.
            return at, f"{last} is '{variants.named(given)}'", f"use one of {', '.join(valid)}"
        if isinstance(given, str):
            return at, f"{last} is '{given}'", nearest(given, valid)
        alone = isinstance(given, tuple) and len(given) == 1 and given[0] in valid
        remedy = "write it without brackets" if alone else f"use one of {', '.join(valid)}"
        return at, f"{last} is {excerpt_of(given)}", remedy
    if kind in ("claim_kind", "union_tag_not_found"):
        keys = detail["input"] if isinstance(detail["input"], dict) else ()
        unknown = next((key for key in keys if key not in ("name", "only")), "")
        return (
            at,
            A_CLAIM_IS,
            nearest(unknown, CLAIM_KINDS) if unknown else "add one of these",
        )
    if kind == "too_short":
        return at, f"{last} is empty", "write at least one"
    if kind == "too_long":
        return at, f"{last} has more than {context['max_length']}", "make several specs of it"
    if kind == "string_pattern_mismatch":
        return at, f"{last} is '{detail['input']}'", _shape(at)
    if advice := _as_yaml_reads(kind, detail["input"]):
        return at, f"{last}: {advice[0]}", advice[1]
    message = (detail["msg"][0].lower() + detail["msg"][1:]).replace("valid tuple", "list")
    message = re.sub("valid dictionary( or instance of .*)?", "mapping", message)
    return at, f"{last}: {message}", f"it is {excerpt_of(detail['input'])}"


def _as_yaml_reads(kind: str, given: Any) -> tuple[str, str] | None:
    """What is wrong and what to write where YAML 1.1 takes a text for a number, or the reverse."""
    if kind == "string_type" and isinstance(given, bool | int | float | datetime.date):
        read = {bool: "", int: ", a number", float: ", a number"}.get(type(given), ", a date")
        return f"YAML reads it as {json.dumps(given, default=str)}{read}", IN_QUOTES
    if kind not in ("float_type", "int_type") or not isinstance(given, str):
        return None
    value = _number(given)
    if value is None or (kind == "int_type" and not (value.is_integer() and abs(value) < 2**53)):
        return None
    number = yaml_number(int(value) if kind == "int_type" else value)
    return f"YAML reads {excerpt_of(given)} as a text", f"write {number}"


def _number(text: str) -> float | None:
    """The finite number that a text is to Python, or to a later YAML: 1e-1, 08 and 0o17."""
    for read in (float, partial(int, base=0)):
        try:
            value = float(read(text))
        except (ValueError, OverflowError):
            continue
        return value if math.isfinite(value) else None
    return None


# What a text of a certain form looks like.
_SHAPES = {
    "name": "use letters and digits, and `-`, `_` or `.` between them",
    "targets": "use letters and digits, and `-`, `_` or `.` between them",
    "from": "write the eval and its ablation: SPEC_NAME/ABLATION",
    "width": "write it as it is published: 16k, 65k",
    "of": "use letters and digits, and `-`, `_` or `.` between them",
    "against": "use letters and digits, and `-`, `_` or `.` between them",
    "l0": "write a number without quotes, or a word such as canonical",
}


def _shape(at: KeyPath) -> str:
    part = next((step for step in reversed(at) if step in _SHAPES), "")
    return _SHAPES.get(str(part), "write another")


def _resolved(data: Any, loc: Sequence[Any]) -> KeyPath:
    """The error's location without the names of union members that pydantic puts into it."""
    at: list[str | int] = []
    for i, step in enumerate(loc):
        if step == "[key]" or (i == 2 and loc[0] == "claims"):
            continue
        if isinstance(data, dict) and (step in data or i == len(loc) - 1):
            at.append(step)
            data = data.get(step)
        elif isinstance(data, tuple) and isinstance(step, int) and step < len(data):
            at.append(step)
            data = data[step]
    return tuple(at)


def _fields_at(data: Any, at: KeyPath) -> tuple[str, ...]:
    if len(at) == 2 and at[0] == "claims":
        claim = data["claims"][at[1]]
        return tuple(next(m for k, m in CLAIM_KINDS.items() if k in claim).model_fields)
    general = tuple("*" if isinstance(step, int) else step for step in at)
    if general[:1] == ("targets",):
        general = ("targets", "*")
    model = _PARTS.get(general)
    fields = model.model_fields.items() if model else ()
    return tuple(field.alias or name for name, field in fields)
