"""What every claim has."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from harness.specs.fields import Name, SpecPart, without
from harness.specs.prompt import Prompt


class ClaimPart(SpecPart):
    """A claim's name, and where it is made. Its `kind` is the key by which it is told apart.

    `later` are the keys that came after others, with the defaults at which they stay out of the hash.
    """

    kind: ClassVar[str]
    later: ClassVar[Mapping[str, object]] = {}
    name: Name = Field(description="What the claim is called on every surface.")
    only: tuple[str, ...] = Field(
        default=(), description="Targets on which the claim is made; everywhere when empty."
    )
    cluster: str | None = Field(
        default=None,
        min_length=1,
        description="The tag whose values are the independent units of this claim's tests, such as "
        "`principle`, or `family`; the spec's own `cluster` when left out.",
    )

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what is as it was before there was a choice, so that no hash changes."""
        return without(plain(self), {"cluster": None, "where": {}, **self.later})


class PartClaim(ClaimPart):
    """A claim that may be made of some of the prompts alone: of those with these tags."""

    where: Mapping[str, str] = Field(
        default={},
        description="Make the claim of the prompts with these tags alone: {quantity: acceleration}. "
        "Of all confirming prompts when left out.",
    )

    def asks_of(self, prompt: Prompt) -> bool:
        """Whether the claim is made of this prompt."""
        return all(prompt.tags.get(tag) == value for tag, value in self.where.items())

    @property
    def where_in_words(self) -> str:
        """What is said of the prompts that it is made of, after a claim in words; nothing where of all."""
        if not self.where:
            return ""
        return ", where " + " and ".join(f"{tag} is {value}" for tag, value in self.where.items())
