"""A hash of prompts: it changes with any word, answer, pair, family or tag."""

import hashlib
from collections.abc import Mapping, Sequence

from harness.specs.prompt import Prompt


def hash_of(prompts: Sequence[Prompt], others: Mapping[str, Sequence[Prompt]]) -> str:
    """That of some prompts, and of those of `others` by the files' names; whatever the order of the lines."""

    def said(p: Prompt) -> str:
        # Without what once was not there, so that the hash of no older file changes.
        later = [*[p.baseline] * bool(p.baseline), *[p.variant] * (p.variant != p.label)]
        later += [*[repr(p.further)] * any(p.further), *map(repr, p.chat)]
        return repr((p.id, p.pair_id, p.family, p.label, p.text, p.answer, p.correct, p.misconception,
                     sorted(p.tags.items()), *later))  # fmt: skip

    lines = sorted(map(said, prompts))
    for name, some in sorted(others.items()):
        lines += [name, *sorted(map(said, some))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
