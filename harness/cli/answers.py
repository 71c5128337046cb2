"""What the tokenizers that are here say of the answers of pairs, before any weight is loaded."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.errors import Fault, first_few
from harness.specs.answer_tokens import beginning, may_begin_alike
from harness.specs.prompt import LABELS, Prompt
from harness.specs.targets import Target


def answers_alike(
    path: Path | None, prompts: Sequence[Prompt], targets: Iterable[Target]
) -> tuple[list[Fault], list[str]]:
    """The pairs of which one answer begins the other in a target's tokens: faults, and notes.

    A note names the lines whose answers begin alike as texts, where the target's tokenizer is not here.
    """
    doubtful = [prompt for prompt in prompts if may_begin_alike(prompt)]
    if not doubtful:
        return [], []
    # What knows the hub is loaded only where it is needed.
    from harness.models.local_tokenizer import local_tokens

    faults, notes = [], []
    for target in targets:
        tokens_of = local_tokens(target)
        if tokens_of is None:
            lines = first_few(str(prompt.line) for prompt in doubtful if prompt.label == LABELS[0])
            notes.append(
                f"{path}: in lines {lines} one answer begins the other; the tokenizer of {target.name} "
                "is not here, and a run refuses the pair where their tokens begin alike, too"
            )
            continue
        faulty = set()
        for prompt in doubtful:
            if prompt.pair_id in faulty:
                continue  # its other variant said so
            ids = [tokens_of(prompt.before_answer + one) for one in prompt.answers]
            if fault := beginning(f"{path}:{prompt.line}", prompt, target.name, *ids):
                faults.append(fault)
                faulty.add(prompt.pair_id)
    return faults, notes
