"""What their strongest tokens alone make of an ablation's features: in neutral texts, with and without them.

Rows of `injections`. Tokens are put in by their ids: some are bytes, or parts of words, that are no text by
themselves.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import Fault, InputError
from harness.models.padded_batch import USER, Tokens
from harness.runner.context import RunContext
from harness.runner.traced_features import TokenValues, prepare_trace, token_values
from harness.specs.ablations import Ablation, Placement
from harness.specs.intervention import Feature
from harness.specs.prompt import Prompt
from harness.store.tables.columns import Columns
from harness.store.tables.interventions import InjectedTokens, Injections

Ids = tuple[int, ...]
Grams = tuple[Ids, ...]  # of one length, the strongest first


def tokens_of(rows: InjectedTokens) -> dict[Feature, dict[int, Grams]]:
    """Each feature's strongest tokens and sequences of them, by their length, as they are stored."""
    found: dict[Feature, dict[int, list[tuple[int, Ids]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows.rows():
        ids = *row["before"], row["token_id"]
        found[row["layer"], row["feature"]][row["gram"]].append((row["rank"], ids))
    return {
        one: {n: tuple(ids for _, ids in sorted(ranked)) for n, ranked in sorted(own.items())}
        for one, own in sorted(found.items())
    }


@dataclass(frozen=True)
class _Row:
    """A text with the tokens of some features at a place, each `gram` as one; without any, as it is."""

    prompt: Prompt
    tokens: Tokens
    features: tuple[Feature, ...]
    gram: int | None = None
    placement: Placement | None = None
    places: frozenset[int] = frozenset()


def inject(
    context: RunContext,
    ablation: Ablation,
    strongest: Mapping[Feature, Mapping[int, Grams]],
    file: str,
    prompts: Sequence[Prompt],
) -> list[Columns]:
    """The largest value of each feature in each text as it is, and with its strongest tokens at each place.

    Those of one length are put in together, and each length by itself. Raises `InputError` where a
    text is too long for them, and `CannotRun` where NaN or infinity arises.
    """
    rows = [one for prompt in prompts for one in _rows_of(context, ablation, strongest, prompt)]
    traced = prepare_trace(context, strongest)
    column = {one: at for at, one in enumerate(sorted(strongest))}

    def measure(chosen: list[int]) -> TokenValues:
        return token_values(context, [rows[i].tokens for i in chosen], traced)

    lines: dict[int, list[dict[str, Any]]] = {}
    for chosen, values in context.batches([row.tokens for row in rows], measure):
        peaks = values.peaks(len(chosen))
        for at, number in enumerate(chosen):
            row = rows[number]
            there = [
                i for i in (values.row == at).nonzero()[0] if values.place[i].item() in row.places
            ]
            lines[number] = [
                {
                    "run_id": context.run_id,
                    "ablation": ablation.name,
                    "file": file,
                    "family": row.prompt.family,
                    "prompt_id": row.prompt.id,
                    "placement": row.placement or "",
                    "layer": one[0],
                    "feature": one[1],
                    "peak": float(peaks[at, column[one]]),
                    "at_tokens": float(values.values[there, column[one]].max()) if there else None,
                    "origin": context.origin,
                    "gram": row.gram,
                }
                for one in row.features
            ]
    return [Injections.of(line for number in sorted(lines) for line in lines[number])]


def _rows_of(
    context: RunContext,
    ablation: Ablation,
    strongest: Mapping[Feature, Mapping[int, Grams]],
    prompt: Prompt,
) -> Iterator[_Row]:
    """A text as it is, and with each distinct sequence of tokens at each place."""
    assert ablation.tokens is not None
    model = context.model
    plain = model.tokens(prompt.asked)
    yield _Row(prompt, plain, tuple(strongest))
    sharing: dict[tuple[int, Grams], list[Feature]] = defaultdict(list)
    for feature, own in strongest.items():
        for length in own.items():
            sharing[length].append(feature)
    words = _words(plain, max(1, len(model.opening)))
    begins = [i for i in words[1:] if model.token_of(plain.prompt[i])[:1].isspace()]
    for (gram, grams), features in sharing.items():
        for placement in ablation.tokens.at:
            made, places = placed(plain.prompt, words, begins, grams, placement)
            if len(made) > model.architecture.longest:
                what = f"it has {len(made)} tokens with those of a feature, the model takes "
                where = f"text '{prompt.text[:40]}'"
                raise InputError(Fault(where, f"{what}{model.architecture.longest}", "shorten it"))
            yield _Row(prompt, Tokens(made), tuple(features), gram, placement, frozenset(places))


def _words(tokens: Tokens, opening: int) -> range:
    """The positions of a text's own tokens; of a chat, of what its user says last.

    The first token of a row is never read, so nothing is put in its place.
    """
    if not tokens.roles:
        return range(opening, len(tokens.prompt))
    last = max(i for i, role in enumerate(tokens.roles) if role == USER)
    first = last
    while first > opening and tokens.roles[first - 1] == USER:
        first -= 1
    return range(first, last + 1)


def placed(
    prompt: Ids, words: range, begins: Sequence[int], grams: Grams, placement: Placement
) -> tuple[Ids, tuple[int, ...]]:
    """A prompt with tokens put among its `words`, and where they are then; of no gram are they parted.

    In the middle they stand before the word that `begins` next to it, so that none is divided where any
    begins. In the place of others the grams are spread evenly; where there are fewer of these, they take all
    their places.
    """
    tokens = tuple(one for gram in grams for one in gram)
    n = len(tokens)
    if placement == "replace" and n < len(words):
        at = [words[i] for i in _spread(len(words), len(grams), len(grams[0]))]
        new = dict(zip(at, tokens, strict=True))
        return tuple(new.get(i, one) for i, one in enumerate(prompt)), tuple(at)
    first, end = words.start, words.stop
    if placement == "replace":
        return (*prompt[:first], *tokens, *prompt[end:]), tuple(range(first, first + n))
    middle = (first + end) // 2
    before = {
        "start": first,
        "middle": min(begins or [middle], key=lambda i: (abs(i - middle), i)),
        "end": end,
    }[placement]
    return (*prompt[:before], *tokens, *prompt[before:]), tuple(range(before, before + n))


def _spread(places: int, grams: int, length: int) -> list[int]:
    """Which of so many places so many grams of a length take, evenly, each adjacent ones.

    As if each gram but for its first token had no place: so none meets another.
    """
    slots = places - grams * (length - 1)
    starts = [(2 * i + 1) * slots // (2 * grams) + i * (length - 1) for i in range(grams)]
    return [start + i for start in starts for i in range(length)]
