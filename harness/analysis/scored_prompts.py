"""Of which prompts shortcut scores are: all of a file, or some families of a large one."""

import hashlib
from collections import Counter
from collections.abc import Sequence

from harness.specs.prompt import Prompt

MOST_PAIRS = 2_000  # time grows with the cube of the pairs, memory with their square


def scored_prompts(prompts: Sequence[Prompt], most: int = MOST_PAIRS) -> Sequence[Prompt]:
    """All prompts, or those of as many whole families as have at most so many pairs: one at least.

    Families come in the order of a hash of their names: which are taken does not depend on the file's order.
    """
    if len(prompts) <= 2 * most:
        return prompts
    sizes = Counter(prompt.family for prompt in prompts)
    room, taken = 2 * most, set[str]()
    for family in sorted(sizes, key=lambda name: hashlib.sha256(name.encode()).digest()):
        room -= sizes[family]
        if room < 0 and taken:
            break
        taken.add(family)
    return [prompt for prompt in prompts if prompt.family in taken]
