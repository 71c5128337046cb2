"""Prompts to the store's rows, and back."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
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
    beside = [(file, p) for file, some in sorted((others or {}).items()) for p in some]
    return (
        Prompts(
            **_columns(in_order, run_id),
            split=[sides[p.family] for p in in_order],
            baseline=[p.baseline or None for p in in_order],
        ),
        PromptTags(
            run_id=[run_id] * sum(len(p.tags) for p in in_order),
            prompt_id=[p.id for p in in_order for _ in p.tags],
            tag=[tag for p in in_order for tag in sorted(p.tags)],
            value=[p.tags[tag] for p in in_order for tag in sorted(p.tags)],
        ),
        OtherPrompts(
            **_columns([p for _, p in beside], run_id),
            file=[file for file, _ in beside],
            tags=[json.dumps(p.tags, sort_keys=True, ensure_ascii=False) for _, p in beside],
        ),
    )


def _columns(prompts: Sequence[Prompt], run_id: str) -> dict[str, list[Any]]:
    """Columns of the texts that the prompts hold, so that a million rows take few objects more."""
    return {
        "run_id": [run_id] * len(prompts),
        "prompt_id": [p.id for p in prompts],
        "pair_id": [p.pair_id for p in prompts],
        "family": [p.family for p in prompts],
        "label": [p.label for p in prompts],
        "prompt": [p.text for p in prompts],
        "answer": [p.answer for p in prompts],
        "correct": [p.correct for p in prompts],
        "misconception": [p.misconception for p in prompts],
        "line": [p.line for p in prompts],
        "variant": [p.variant for p in prompts],
        "messages": [json.dumps(p.chat, ensure_ascii=False) if p.chat else None for p in prompts],
        "further": [_further_text(p) for p in prompts],
    }


def _further_text(prompt: Prompt) -> str | None:
    if not any(prompt.further):
        return None
    return json.dumps(dict(zip(LABELS, prompt.further, strict=True)), ensure_ascii=False)


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


def families_of_run(store: ReadStore, run_id: str) -> int:
    """How many families the prompts of a run have."""
    sql = "SELECT count(DISTINCT family) FROM prompts WHERE run_id = $run"
    return int(store.query(sql, {"run": run_id})[1][0][0])
