"""A hash of prompts: it changes with any word, answer, pair, family or tag."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from harness.specs.prompt import Prompt


def hash_of(prompts: Sequence[Prompt], others: Mapping[str, Sequence[Prompt]]) -> str:
    """That of some prompts, and of those of `others` by the files' names; whatever the order of the lines."""

    def said(p: Prompt) -> str:
        # Without what once was not there, so that the hash of no older file changes.
        later = [*[p.baseline] * bool(p.baseline), *[p.variant] * (p.variant != p.label)]
        later += [*[repr(p.further)] * any(p.further), *map(repr, p.chat)]
        return repr((p.id, p.pair_id, p.family, p.label, p.text, p.answer, p.correct, p.misconception,
                     sorted(p.tags.items()), *later))  # fmt: skip

    def in_order(some: Sequence[Prompt]) -> Iterator[str]:
        # A line begins with its id, which no other's begins with: the order of ids is that of lines, and no
        # line is held. Lines of one id, as no file has them, are ordered by what follows.
        for _, alike in groupby(sorted(some, key=_id), key=_id):
            yield from sorted(map(said, alike))

    def lines() -> Iterator[str]:
        yield from in_order(prompts)
        for name, some in sorted(others.items()):
            yield name
            yield from in_order(some)

    digest, between = hashlib.sha256(), b""
    for line in lines():
        digest.update(between + line.encode())
        between = b"\n"
    return digest.hexdigest()


def _id(prompt: Prompt) -> str:
    return repr(prompt.id)
