"""Prompts to the store's rows, and back."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from harness.specs.prompt import Prompt
from harness.store.interface import ReadStore
from harness.store.tables.columns import Columns
from harness.store.tables.runs import Prompts, PromptTags


def prompt_tables(
    prompts: Iterable[Prompt], sides: Mapping[str, str], run_id: str
) -> tuple[Columns, ...]:
    """A run's rows of `prompts` and `prompt_tags`; `sides` is the split of their families."""
    in_order = list(prompts)
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
            for prompt in in_order
        ),
        PromptTags.of(
            {"run_id": run_id, "prompt_id": prompt.id, "tag": tag, "value": value}
            for prompt in in_order
            for tag, value in sorted(prompt.tags.items())
        ),
    )


def stored_prompts(store: ReadStore, run_id: str) -> tuple[Prompt, ...]:
    """The prompts of a run, in the order of their file."""
    tags: dict[str, dict[str, str]] = defaultdict(dict)
    for row in store.read(PromptTags, run_id).rows():
        tags[row["prompt_id"]][row["tag"]] = row["value"]
    prompts = [
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
            tags=tags[row["prompt_id"]],
        )
        for row in store.read(Prompts, run_id).rows()
    ]
    return tuple(sorted(prompts, key=lambda prompt: prompt.line))
