"""What every claim has."""

from typing import ClassVar

from pydantic import Field

from harness.specs.fields import Name, SpecPart


class ClaimPart(SpecPart):
    """A claim's name, and where it is made. Its `kind` is the key by which it is told apart."""

    kind: ClassVar[str]
    name: Name = Field(description="What the claim is called on every surface.")
    only: tuple[str, ...] = Field(
        default=(), description="Targets on which the claim is made; everywhere when empty."
    )
