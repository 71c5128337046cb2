"""The kinds of values that a spec's fields take."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from harness.names import LONGEST, PATTERN

KeyPath = tuple[str | int, ...]  # the keys and numbers that lead to a part of a spec
Contradiction = tuple[KeyPath, str, str]  # (path, what is wrong, what to do)
NamedPositions = Literal[
    "last_prompt_token", "prompt", "answer", "all", "last_user_token", "assistant"
]
SINGLE = ("last_prompt_token", "last_user_token")  # of which a prompt has one
BEFORE_ANSWERS = (*SINGLE, "prompt")
# What could be edited in the place of features by as much, and how it is called.
Baseline = Literal["mean-difference", "probe", "neurons", "random-sae"]
RANDOM_SAE: Baseline = "random-sae"  # the one that has features of its own, and no direction
BASELINES: dict[Baseline, str] = {
    "mean-difference": "the mean difference",
    "probe": "the probe's direction",
    "neurons": "the neurons that differ most",
    "random-sae": "the same selection in a random SAE",
}


def as_large(baseline: Baseline) -> str:
    """A baseline as an edit, in words: features of its own are not active where the target's are."""
    mean = " on average" if baseline == RANDOM_SAE else ""
    return f"{BASELINES[baseline]}, an edit as large{mean}"


Kind = Literal["zero", "mean", "resample", "clamp", "scale", "steer", "direction"]
VALUED = ("clamp", "scale", "steer")  # kinds of edit that need a number
Name = Annotated[str, Field(pattern=PATTERN, max_length=LONGEST)]
Share = Annotated[float, Field(ge=0, lt=1)]
Alpha = Annotated[float, Field(gt=0, lt=1)]


# What an editor takes where a variant is named, by what stands before its name: the spec's own names.
VARIANT_NAMED: Mapping[str, dict[str, Any]] = {
    prefix: {
        "type": "string",
        "pattern": f"^{prefix}{PATTERN[1:]}",
        "maxLength": len(prefix) + LONGEST,
    }
    for prefix in ("", "toward-")
}


class SpecPart(BaseModel):
    """A mapping of a spec: frozen, without unknown keys, and nothing is taken for another type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def without(fields: dict[str, Any], defaults: Mapping[str, object]) -> dict[str, Any]:
    """The fields that are not at these defaults: a later key must not change the hashes of older specs."""
    return {
        name: one for name, one in fields.items() if name not in defaults or one != defaults[name]
    }


Place = Annotated[int, Field(ge=-1_000_000, le=1_000_000)]
Positions = Annotated[
    Annotated[NamedPositions, Tag("named")]
    | Annotated[tuple[Place, ...], Field(min_length=1), Tag("numbered")],
    Discriminator(lambda positions: "named" if isinstance(positions, str) else "numbered"),
]
Layers = Annotated[
    Annotated[Literal["all", "default", "none"], Tag("named")]
    | Annotated[tuple[int, ...], Field(min_length=1), Tag("some")],
    Discriminator(lambda layers: "named" if isinstance(layers, str) else "some"),
]
L0 = Annotated[
    Annotated[int, Tag("number")] | Annotated[str, Field(pattern=r"^[A-Za-z]"), Tag("label")],
    Discriminator(lambda l0: "label" if isinstance(l0, str) else "number"),
]


def _layer(key: object) -> object:
    if isinstance(key, str) and not re.fullmatch("0|-?[1-9][0-9]*", key):
        raise PydanticCustomError("layer_key", "it is no layer")
    return key


# A key of YAML is text, and so is a key of JSON.
LayerKey = Annotated[int, BeforeValidator(_layer), Field(strict=False)]
L0s = Annotated[
    Annotated[L0, Tag("one")] | Annotated[dict[LayerKey, L0], Tag("by layer")],
    Discriminator(lambda l0: "by layer" if isinstance(l0, dict) else "one"),
]
SaeWidth = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}[km]?$")]
Dtype = Literal["float32", "bfloat16", "float16"]
WhereBos = Literal["auto", "always", "never"]
