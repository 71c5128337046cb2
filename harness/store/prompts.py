"""Prompts to the store's rows, and back."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from harness.specs.chat import Message
from harness.specs.prompt import LABELS, Answers, Prompt
from harness.store.interface import ReadStore
from harness.store.tables.columns import Columns
from harness.store.tables.runs import OtherPrompts, Prompts, PromptTags


def prompt_tables(
    prompts: Iterable[Prompt],
    sides: Mapping[str, str],
    run_id: str,
    others: Mapping[str, Iterable[Prompt]] | None = None,
) -> tuple[Columns, ...]:
    """A run's rows of `prompts`, `prompt_tags` and `other_prompts`.

    `sides` is the split of the families, and `others` are prompts of other files, by name.
    """
    in_order = list(prompts)
    return (
        Prompts.of(
            {
                "run_id": run_id,
                **_columns(prompt),
                "split": sides[prompt.family],
                "baseline": prompt.baseline or None,
            }
            for prompt in in_order
        ),
        PromptTags.of(
            {"run_id": run_id, "prompt_id": prompt.id, "tag": tag, "value": value}
            for prompt in in_order
            for tag, value in sorted(prompt.tags.items())
        ),
        OtherPrompts.of(
            {
                "run_id": run_id,
                "file": file,
                **_columns(prompt),
                "tags": json.dumps(prompt.tags, sort_keys=True, ensure_ascii=False),
            }
            for file, some in sorted((others or {}).items())
            for prompt in some
        ),
    )


def _columns(prompt: Prompt) -> dict[str, object]:
    return {
        "prompt_id": prompt.id,
        "pair_id": prompt.pair_id,
        "family": prompt.family,
        "label": prompt.label,
        "prompt": prompt.text,
        "answer": prompt.answer,
        "correct": prompt.correct,
        "misconception": prompt.misconception,
        "line": prompt.line,
        "variant": prompt.variant,
        "messages": json.dumps(prompt.chat, ensure_ascii=False) if prompt.chat else None,
        "further": json.dumps(dict(zip(LABELS, prompt.further, strict=True)), ensure_ascii=False)
        if any(prompt.further)
        else None,
    }


def _further(text: str | None) -> tuple[Answers, Answers]:
    said = json.loads(text) if text else {}
    correct, misconception = (tuple(map(str, said.get(label, ()))) for label in LABELS)
    return correct, misconception


def _prompt(row: Mapping[str, Any], tags: Mapping[str, str]) -> Prompt:
    return Prompt(
        id=row["prompt_id"],
        pair_id=row["pair_id"],
        family=row["family"],
        label=row["label"],
        text=row["prompt"],
        answer=row["answer"],
        correct=row["correct"],
        misconception=row["misconception"],
        line=row["line"],
        tags=tags,
        baseline=row.get("baseline") or "",
        variant=row["variant"] or "",
        chat=tuple(Message(*one) for one in json.loads(row["messages"] or "[]")),
        further=_further(row["further"]),
    )


def stored_prompts(store: ReadStore, run_id: str) -> tuple[Prompt, ...]:
    """The prompts of a run, in the order of their file."""
    tags: dict[str, dict[str, str]] = defaultdict(dict)
    for row in store.read(PromptTags, run_id).rows():
        tags[row["prompt_id"]][row["tag"]] = row["value"]
    prompts = [_prompt(row, tags[row["prompt_id"]]) for row in store.read(Prompts, run_id).rows()]
    return tuple(sorted(prompts, key=lambda prompt: prompt.line))


def stored_other_prompts(store: ReadStore, run_id: str) -> Mapping[str, tuple[Prompt, ...]]:
    """The prompts of other files than a run's own, by the file, in its order."""
    found: dict[str, list[Prompt]] = defaultdict(list)
    for row in store.read(OtherPrompts, run_id).rows():
        found[row["file"]].append(_prompt(row, json.loads(row["tags"])))
    return {
        file: tuple(sorted(some, key=lambda prompt: prompt.line)) for file, some in found.items()
    }
