"""The kinds of values that a spec's fields take."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

KeyPath = tuple[str | int, ...]  # the keys and numbers that lead to a part of a spec
Contradiction = tuple[KeyPath, str, str]  # (path, what is wrong, what to do)
NamedPositions = Literal["last_prompt_token", "prompt", "answer", "all"]
Kind = Literal["zero", "mean", "resample", "clamp", "scale", "steer", "direction"]
VALUED = ("clamp", "scale", "steer")  # kinds of edit that need a number
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)]
Share = Annotated[float, Field(ge=0, lt=1)]
Alpha = Annotated[float, Field(gt=0, lt=1)]


class SpecPart(BaseModel):
    """A mapping of a spec: frozen, without unknown keys, and nothing is taken for another type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


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
L0 = int | str
# A key of YAML is text, and so is a key of JSON.
LayerKey = Annotated[int, Field(strict=False)]
L0s = Annotated[
    Annotated[L0, Tag("one")] | Annotated[dict[LayerKey, L0], Tag("by layer")],
    Discriminator(lambda l0: "by layer" if isinstance(l0, dict) else "one"),
]
SaeWidth = Annotated[str, Field(pattern=r"^\d+[km]?$")]
Dtype = Literal["float32", "bfloat16", "float16"]
