"""What is wrong with families: texts that two of them share, and answers that are not balanced in one."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

from harness.errors import Fault, first_few
from harness.specs.likeness import difference, reads_as
from harness.specs.prompt import LABELS, Prompt, shown
from harness.specs.variants import Variants


def shared_texts(path: str, prompts: Sequence[Prompt]) -> list[Fault]:
    """A text that two families use would be counted twice, or stand on both sides of the split."""
    first: dict[bytes, Prompt] = {}
    faults = []
    for prompt in prompts:
        other = first.setdefault(digest(reads_as(prompt.text)), prompt)
        if other.family != prompt.family:
            same = other.text == prompt.text
            but = "" if same else f" but for {difference(other.text, prompt.text)}"
            faults.append(
                Fault(
                    f"{path}:{prompt.line}",
                    f"family '{prompt.family}' has the same prompt as family '{other.family}' "
                    f"(line {other.line}){but}",
                    "put both pairs into one family",
                )
            )
    return faults


def digest(text: str) -> bytes:
    """What stands for a text among millions, in fewer bytes."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def unbalanced(path: str, prompts: Sequence[Prompt], variants: Variants) -> list[Fault]:
    """Families in which an answer is right more or less often than it is wrong."""
    uses: dict[str, Counter[str]] = defaultdict(Counter)
    lines: dict[str, int] = {}
    for prompt in prompts:
        if prompt.label == "correct":
            uses[prompt.family][shown(prompt.members("correct"))] += 1
            uses[prompt.family][shown(prompt.members("misconception"))] -= 1
            lines.setdefault(prompt.family, prompt.line)
    one, other = "right", "wrong"
    if not variants.are_roles:
        one, other = (f"the {variants.answer(role)}" for role in LABELS)
    return [
        Fault(
            f"{path}:{lines[family]}",
            f"family '{family}' is not balanced: "
            + first_few(
                f"'{answer}' is {one} {abs(more)} time{'s' * (abs(more) != 1)} "
                f"{'more' if more > 0 else 'less'} often than {other}"
                for answer, more in sorted(count.items())
                if more
            ),
            "ask the other question as often, or set `balance: none` in the spec",
        )
        for family, count in uses.items()
        if any(count.values())
    ]
