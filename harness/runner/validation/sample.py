"""A few prompts to validate a model with: built-in ones, or those of a file."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import Fault, InputError
from harness.models.language_model import LanguageModel
from harness.models.padded_batch import Tokens
from harness.models.prompt_rows import PromptRows
from harness.paths import bundled, find
from harness.specs.chat import Chat
from harness.specs.prompt import Prompt
from harness.specs.prompt_file import load_prompts

BUILT_IN = ("data", "voices.jsonl")
MOST = 24  # texts: enough positions to tell one reading of an SAE from another
MORE = 3  # tokens after each answer
FEW = 3  # of them in every other check: the shortest, the longest, and one between


@dataclass(frozen=True)
class Sample:
    """Texts, and a row of each with all of its answers; `few` are of different lengths.

    Answers of these have several tokens: of one that is alone no token sees what stands beside it.
    """

    texts: tuple[str, ...]
    rows: tuple[Tokens, ...]
    few: tuple[Tokens, ...]


def sample_of(model: LanguageModel, file: str | Path = "") -> Sample:
    """Prompts of a file, spread over it, or the built-in ones. Raises `InputError`.

    Of the built-in ones those are left out that are no prompts of this model: its tokenizer may join a
    prompt and its answer, or it may take fewer tokens.
    """
    path = find(file) if file else bundled(*BUILT_IN)
    if path is None:
        remedy = "name a file of JSON lines, or leave it out"
        raise InputError(Fault(f"--prompts {file}", "there is no such prompt file", remedy))
    texts = list(_by_text(load_prompts(path, balanced=False), short=not file).values())
    chosen = texts[:: max(1, len(texts) // MOST)][:MOST]
    found: dict[str, Tokens] = {}
    refused: list[InputError] = []
    for prompts in chosen:
        try:
            (found[prompts[0].text],) = PromptRows(model, prompts).tokens
        except InputError as error:
            refused.append(error)
    if refused and (file or not found):
        raise refused[0]
    return Sample(tuple(found), tuple(found.values()), _few(model, [*found.values()]))


def _few(model: LanguageModel, rows: Sequence[Tokens]) -> tuple[Tokens, ...]:
    """As many rows as are needed to pad and to compare, of answers that go on, in the prompt's own words."""
    longest = [
        replace(
            row, answers=tuple(a + row.prompt[i + 1 :][:MORE] for i, a in enumerate(row.answers))
        )
        for row in rows
    ]
    fit = [
        row
        for row in longest
        if len(row) <= model.architecture.widest
        and len(row.prompt) + max(map(len, row.answers)) <= model.architecture.longest
    ]
    ranked = sorted(fit or rows, key=lambda row: len(row.prompt))
    step = max(1, (len(ranked) - 1) // (FEW - 1))
    return tuple(ranked[::step][:FEW])


def _by_text(prompts: Sequence[Prompt], *, short: bool) -> dict[str | Chat, list[Prompt]]:
    """The prompts that ask the same; of the built-in ones those of one sentence."""
    texts: dict[str | Chat, list[Prompt]] = {}
    for prompt in prompts:
        if not short or "\n" not in prompt.text:
            texts.setdefault(prompt.asked, []).append(prompt)
    return texts
