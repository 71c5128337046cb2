"""Prompts to the store's rows, and back."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from harness.specs.prompt import Prompt
from harness.store.tables.base import Columns
from harness.store.tables.runs import Prompts, PromptTags


def to_columns(
    prompts: Iterable[Prompt], sides: Mapping[str, str], run_id: str
) -> tuple[Columns, ...]:
    """What the store knows of a run's prompts; `sides` is the split of their families."""
    listed = list(prompts)
    return (
        Prompts.of(
            {
                "run_id": run_id,
                "prompt_id": prompt.id,
                "pair_id": prompt.pair_id,
                "family": prompt.family,
                "label": prompt.label,
                "split": sides[prompt.family],
                "prompt": prompt.text,
                "answer": prompt.answer,
                "correct": prompt.correct,
                "misconception": prompt.misconception,
                "line": prompt.line,
            }
            for prompt in listed
        ),
        PromptTags.of(
            {"run_id": run_id, "prompt_id": prompt.id, "tag": tag, "value": value}
            for prompt in listed
            for tag, value in sorted(prompt.tags.items())
        ),
    )


def from_columns(rows: Prompts, tags: PromptTags) -> tuple[Prompt, ...]:
    """The same prompts back from the store, in the order of their file."""
    told: dict[str, dict[str, str]] = defaultdict(dict)
    for row in tags.rows():
        told[row["prompt_id"]][row["tag"]] = row["value"]
    made = [
        Prompt(
            id=row["prompt_id"],
            pair_id=row["pair_id"],
            family=row["family"],
            label=row["label"],
            text=row["prompt"],
            answer=row["answer"],
            correct=row["correct"],
            misconception=row["misconception"],
            line=row["line"],
            tags=told[row["prompt_id"]],
        )
        for row in rows.rows()
    ]
    return tuple(sorted(made, key=lambda prompt: prompt.line))
