"""Models in folders: what shape one says it has, and whether it is one of the toys that are known."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from harness.specs.json_file import check_shape, read_mapping, shape_said
from harness.specs.local_paths import local_path

if TYPE_CHECKING:
    from harness.specs.targets import Target


def shape_of(model: str) -> tuple[int | None, int | None]:
    """Blocks and width of a local model, from its `config.json`. Raises `InputError` where none has them."""
    folder = local_path(model)
    said = None if folder is None else read_mapping(folder / "config.json")
    check_shape(said or {}, "model")
    return shape_said(said or {})


def is_toy(model: str, known: "Mapping[str, Target]") -> bool:
    """Whether a model is that of a known stand-in, under whatever name."""
    folder = local_path(model)
    return folder is not None and any(
        toy.origin != "real"
        and (own := local_path(toy.model)) is not None
        and own.resolve() == folder.resolve()
        for toy in known.values()
    )
