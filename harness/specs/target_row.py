"""What a target is in a file of a user's own, and what is wrong with one, in plain words."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, JsonValue
from pydantic_core import PydanticCustomError

from harness.errors import Fault, InputError, nearest
from harness.paths import PACKAGE
from harness.specs.fields import Dtype, L0s, SaeWidth, SpecPart, WhereBos
from harness.specs.saelens import SAELENS, meant
from harness.specs.sites import Hook
from harness.specs.yaml_source import excerpt_of


def _printable(text: str) -> str:
    if not text.isprintable():
        raise PydanticCustomError("control", "it holds control characters")
    return text


Text = Annotated[str, Field(min_length=1, max_length=5_000), AfterValidator(_printable)]
Layer = Annotated[int, Field(ge=0, lt=10_000)]
Size = Annotated[int, Field(gt=0, le=10**16)]


class TargetRow(SpecPart):
    """The fields of a target in `targets.toml`, as `harness/targets.toml` explains them.

    Without `sae` only claims about behaviour can be made of it.
    """

    summary: Annotated[str, Field(max_length=200), AfterValidator(_printable)] = ""
    model: Text
    revision: Text | None = None
    package: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")] | None = None
    sae: Text | None = None
    sae_revision: Text | None = None
    files: Text | None = None
    hook: Hook | None = None
    catalogue: Annotated[str, AfterValidator(lambda name: _of_the_package(name))] | None = None
    sae_width: SaeWidth | None = None
    l0: L0s | None = None
    layers: Annotated[tuple[Layer, ...], Field(min_length=1, max_length=10_000)] | None = None
    dtype: Dtype = "float32"
    bos: WhereBos | None = None
    origin: Literal["real", "stand-in", "mock"] = "real"
    blocks: Annotated[int, Field(gt=0, le=10_000)] | None = None
    width: Annotated[int, Field(gt=0, le=1_000_000)] | None = None
    bytes: Size | None = None
    parameters: Size | None = None
    architecture: dict[str, JsonValue] | None = None
    gated: bool = False


def _of_the_package(name: str) -> str:
    if name.startswith(SAELENS):
        try:
            meant(name)
        except InputError as error:
            remedy = error.faults[0].remedy
            raise PydanticCustomError("catalogue", "{remedy}", {"remedy": remedy}) from None
        return name
    there = sorted(path.stem for path in (PACKAGE / "catalogues").glob("*.csv"))
    if name not in there:
        raise PydanticCustomError("catalogue", "{remedy}", {"remedy": nearest(name, there)})
    return name


def explain_row(detail: Any) -> Fault:
    """A validation error of a `TargetRow` as what is wrong with which key."""
    key = str(detail["loc"][0]) if detail["loc"] else ""
    kind, given = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        return Fault(key, f"unknown key '{key[:80]}'", nearest(key, TargetRow.model_fields))
    if kind == "missing":
        return Fault("", f"'{key}' is missing", f"add `{key} = ...`")
    if kind == "literal_error":
        valid = re.findall(r"'([^']*)'", detail["ctx"]["expected"])
        return Fault(key, f"{key} is {excerpt_of(given)}", f"use one of {', '.join(valid)}")
    if kind == "catalogue":
        what = f"the package has no catalogue {excerpt_of(given)}"
        return Fault(key, what, detail["ctx"]["remedy"])
    message = detail["msg"][0].lower() + detail["msg"][1:]
    message = message.replace("valid tuple", "list").replace("valid dictionary", "table")
    return Fault(key, f"{key}: {message}", f"it is {excerpt_of(given)}")
