"""Answers of a pair of which one begins the other: which is the likelier is then no finding.

The longer one's log-probability is the shorter's plus that of the tokens that follow, which is below 0
whatever the model thinks of the answers.
"""

import unicodedata
from collections.abc import Sequence
from itertools import combinations, pairwise

from harness.errors import Fault
from harness.specs.prompt import Prompt


def may_begin_alike(prompt: Prompt) -> bool:
    """Whether one answer of its pair begins another as a text: its tokens may then do so, too."""
    texts = sorted(unicodedata.normalize("NFKC", one).casefold() for one in prompt.answers)
    # In their order, what begins any later one begins the next.
    return any(after.startswith(one) for one, after in pairwise(texts))


def beginning(where: str, prompt: Prompt, target: str, *tokens: Sequence[int]) -> Fault | None:
    """What is wrong where the tokens of one answer begin those of another, or are the same.

    `tokens` are those of each of the prompt's `answers` after it, with or without the prompt's own; `where`
    is the line of the prompt.
    """
    ordered = sorted(zip(tokens, prompt.answers, strict=True), key=lambda one: len(one[0]))
    begun = (
        (one, other)
        for one, other in combinations(ordered, 2)
        if list(other[0][: len(one[0])]) == list(one[0])
    )
    if (found := next(begun, None)) is None:
        return None
    (short, shorter), (long, longer) = found
    what = f"'{shorter}' begins '{longer}' in the tokens of {target}, and is the likelier"
    if len(short) == len(long):
        what = f"'{shorter}' and '{longer}' are the same tokens of {target}, and equally likely"
    return Fault(
        where,
        f"{what} by construction (pair '{prompt.pair_id}')",
        "give the pair answers of which none begins another",
    )
