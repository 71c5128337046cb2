"""Answers of a pair of which one begins the other: which is the likelier is then no finding.

The longer one's log-probability is the shorter's plus that of the tokens that follow, which is below 0
whatever the model thinks of the answers.
"""

import unicodedata
from collections.abc import Sequence

from harness.errors import Fault
from harness.specs.prompt import Prompt


def may_begin_alike(prompt: Prompt) -> bool:
    """Whether one answer of its pair begins the other as a text: its tokens may then do so, too."""
    texts = (
        unicodedata.normalize("NFKC", one).casefold()
        for one in (prompt.correct, prompt.misconception)
    )
    shorter, longer = sorted(texts, key=len)
    return longer.startswith(shorter)


def beginning(
    where: str, prompt: Prompt, target: str, correct: Sequence[int], misconception: Sequence[int]
) -> Fault | None:
    """What is wrong where the tokens of one answer begin those of the other, or are the same.

    `correct` and `misconception` are the tokens of a prompt's two candidates after it, with or without
    the prompt's own; `where` is the line of the prompt.
    """
    (short, shorter), (long, longer) = sorted(
        ((correct, prompt.correct), (misconception, prompt.misconception)),
        key=lambda one: len(one[0]),
    )
    if list(long[: len(short)]) != list(short):
        return None
    what = f"'{shorter}' begins '{longer}' in the tokens of {target}, and is the likelier"
    if len(short) == len(long):
        what = f"'{shorter}' and '{longer}' are the same tokens of {target}, and equally likely"
    return Fault(
        where,
        f"{what} by construction (pair '{prompt.pair_id}')",
        "give the pair two answers of which neither begins the other",
    )
