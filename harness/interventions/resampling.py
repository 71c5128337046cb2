"""From which source prompt each prompt's features are resampled, and how their tokens align."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor

from harness.models.padded_batch import Batch, Tokens
from harness.specs.ablations import Ablation
from harness.specs.plan import Plan
from harness.specs.prompt import Pair, Prompt, pairs_of
from harness.specs.shuffled_sources import lenders


def choose_sources(plan: Plan, ablation: Ablation) -> Mapping[str, Prompt]:
    """The source prompt of each confirming prompt of the ablation's variant, by prompt id.

    The other variant of its pair; or, where the source is random, a prompt of the discovery families
    that is drawn by the split's seed and the prompt's id. None where nothing is resampled.
    """
    if ablation.source is None:
        return {}
    resampled = [p for p in plan.of("confirmation") if p.label == ablation.variant]
    if ablation.source == "pair":
        return _lent(plan, ablation, {family: family for family in plan.families("confirmation")})
    candidates = sorted(plan.of("discovery"), key=lambda prompt: prompt.id)

    def draw(prompt: Prompt) -> Prompt:
        # The text is the draw's seed: in other words stored runs would not repeat.
        name = f"{plan.spec.split.seed}/donor/{ablation.name}/{prompt.id}"
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        return candidates[number % len(candidates)]

    return {prompt.id: draw(prompt) for prompt in resampled}


def shuffled_sources(plan: Plan, ablation: Ablation, number: int) -> Mapping[str, Prompt]:
    """The same of an ablation's shuffled edit `number`: each family takes from one other family's pairs.

    Its first pair from that family's first, by name; where it has more pairs, they begin anew.
    """
    return _lent(plan, ablation, lenders(plan, ablation, number))


def _lent(plan: Plan, ablation: Ablation, lender: Mapping[str, str]) -> Mapping[str, Prompt]:
    """The other variant, by prompt id, of the pair at the same place of the family that lends."""
    pairs: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs_of(plan.of("confirmation")):
        pairs[pair.family].append(pair)
    sources = {}
    for family, own in pairs.items():
        theirs = pairs[lender[family]]
        for i, pair in enumerate(own):
            other = theirs[i % len(theirs)]
            if ablation.variant == "correct":
                sources[pair.correct.id] = other.misconception
            else:
                sources[pair.misconception.id] = other.correct
    return sources


def align_sources(
    batch: Batch, rows: list[Tokens], source_batch: Batch, source_rows: list[Tokens]
) -> Tensor:
    """The column of `source_batch` that stands for each column of `batch`; -1 where none does.

    (rows, columns) int64, row by row of the same place in both. Prompts are aligned at their ends, BOS
    with nothing. An answer's token stands for the same token of the same answer, where the source's row
    has that answer.
    """
    aligned = torch.full(batch.ids.shape, -1, dtype=torch.long)
    for i, (row, source_row) in enumerate(zip(rows, source_rows, strict=True)):
        columns = _columns(batch, i, row)
        source_columns = _columns(source_batch, i, source_row)
        for place in range(1, min(len(row.prompt), len(source_row.prompt))):
            aligned[i, columns[0][-place]] = source_columns[0][-place]
        for number, answer in enumerate(row.answers, start=1):
            if answer in source_row.answers:
                other = source_columns[1 + source_row.answers.index(answer)]
                for column, source_column in zip(columns[number], other, strict=True):
                    aligned[i, column] = source_column
    return aligned


def _columns(batch: Batch, i: int, row: Tokens) -> list[list[int]]:
    """The columns of a row's prompt and of each of its answers."""
    branch = batch.branch[i]
    return [(branch == number).nonzero()[:, 0].tolist() for number in range(1 + len(row.answers))]
