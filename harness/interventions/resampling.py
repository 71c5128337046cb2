"""Which prompt lends its feature values to which, for resampling, and how their tokens align."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from harness.models.padded_batch import Batch, Tokens
from harness.specs.ablations import Ablation
from harness.specs.plan import Plan
from harness.specs.prompt import Prompt, pairs_of


def donors(plan: Plan, ablation: Ablation) -> Mapping[str, Prompt]:
    """The donor of each confirming prompt of the ablation's variant, by prompt id.

    The other variant of its pair; or, where the source is random, a prompt of the discovery families
    that is drawn by the split's seed and the prompt's id.
    """
    if ablation.source is None:
        return {}
    receivers = [p for p in plan.of("confirmation") if p.label == ablation.variant]
    if ablation.source == "pair":
        other = {
            mine.id: theirs
            for pair in pairs_of(plan.of("confirmation"))
            for mine, theirs in (
                (pair.correct, pair.misconception),
                (pair.misconception, pair.correct),
            )
        }
        return {prompt.id: other[prompt.id] for prompt in receivers}
    lenders = sorted(plan.of("discovery"), key=lambda prompt: prompt.id)

    def draw(prompt: Prompt) -> Prompt:
        name = f"{plan.spec.split.seed}/donor/{ablation.name}/{prompt.id}"
        return lenders[
            int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % len(lenders)
        ]

    return {prompt.id: draw(prompt) for prompt in receivers}


def aligned(batch: Batch, rows: list[Tokens], lent: Batch, lenders: list[Tokens]) -> Tensor:
    """The column of `lent` that stands for each column of `batch`, (rows, columns); -1 where none.

    Prompts are aligned at their ends, BOS with nothing. An answer's token stands for the same token
    of the same answer, where the donor's row has that answer.
    """
    found = torch.full(batch.ids.shape, -1, dtype=torch.long)
    for i, (row, lender) in enumerate(zip(rows, lenders, strict=True)):
        mine, theirs = _columns(batch, i, row), _columns(lent, i, lender)
        for place in range(1, min(len(row.prompt), len(lender.prompt))):
            found[i, mine[0][-place]] = theirs[0][-place]
        for number, answer in enumerate(row.answers, start=1):
            if answer in lender.answers:
                other = theirs[1 + lender.answers.index(answer)]
                for own, its in zip(mine[number], other, strict=True):
                    found[i, own] = its
    return found.to(batch.ids.device)


def _columns(batch: Batch, i: int, row: Tokens) -> list[list[int]]:
    """The columns of a row's prompt and of each of its answers."""
    branch = batch.branch[i].cpu()
    return [(branch == number).nonzero()[:, 0].tolist() for number in range(1 + len(row.answers))]
