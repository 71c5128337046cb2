"""At which tokens an ablation's features are most active in the discovering prompts.

Rows of `injected_tokens`: what is put into neutral texts. They are frozen here, and nothing of the confirming
families decides them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.analysis.strongest_tokens import GramSums, TokenSums, strongest_tokens
from harness.analysis.token_grams import grams_of
from harness.models.adaptive_batching import map_batches, split_by_length
from harness.models.padded_batch import Tokens
from harness.runner.checkpoint import UNKEPT, Checkpoint
from harness.runner.context import RunContext
from harness.runner.traced_features import TokenValues, prepare_trace, token_values
from harness.specs.ablations import Ablation
from harness.specs.ablations import Tokens as Injected
from harness.specs.intervention import Intervention
from harness.specs.prompt import LABELS, Prompt
from harness.store.tables.columns import Columns
from harness.store.tables.interventions import InjectedTokens


def tokens(
    context: RunContext,
    ablation: Ablation,
    target: Intervention,
    prompts: Sequence[Prompt],
    *,
    together: int = 64,
    checkpoint: Checkpoint = UNKEPT,
) -> list[Columns]:
    """The strongest tokens of each of the target's features in these prompts, of both variants.

    And the strongest sequences of them, of each length up to the spec's. So many rows `together` are added up
    before the sums so far are kept in the `checkpoint`, which grow no larger than two numbers a feature for
    each position of the prompts by `at_least`. What a chat's template puts between the words counts for no
    token. Raises `CannotRun` where NaN or infinity arises.
    """
    texts = list(dict.fromkeys(prompt.asked for prompt in prompts))
    said = {(prompt.asked, prompt.label) for prompt in prompts}
    asked = np.array([[(text, label) in said for text in texts] for label in LABELS])
    rows = [context.model.tokens(text) for text in texts]
    traced = prepare_trace(context, target.features)
    features = [(layer, int(one)) for layer in sorted(traced) for one in traced[layer].features]
    assert ablation.tokens is not None
    sums = _Sums(rows, asked, len(features), ablation.tokens, checkpoint.load())
    groups = list(split_by_length(rows, together))
    for group in groups[sums.groups :]:

        def add(chosen: list[int], group: Sequence[int] = group) -> TokenValues:
            return token_values(context, [rows[group[i]] for i in chosen], traced)

        for chosen, values in map_batches(context.limit, [rows[i] for i in group], add):
            sums.add([group[i] for i in chosen], values)
        sums.groups += 1
        context.heard(sums.groups, len(groups))
        if checkpoint.is_due():
            checkpoint.save(sums.state)
    name_of = context.model.token_of
    return [
        InjectedTokens.of(
            {
                "run_id": context.run_id,
                "ablation": ablation.name,
                "layer": one.feature[0],
                "feature": one.feature[1],
                "label": one.label,
                "rank": one.rank,
                "token_id": one.ids[-1],
                "token": "".join(map(name_of, one.ids)),
                "mean_activation": one.mean_activation,
                "positions": one.positions,
                "texts": one.texts,
                "origin": context.origin,
                "gram": len(one.ids),
                "before": list(one.ids[:-1]),
            }
            for one in strongest_tokens(sums.found, features, ablation, context.model.special_ids)
        )
    ]


class _Sums:
    """Sums over so many `groups` of rows; which variants have a row's text is `asked` (2, n_rows)."""

    def __init__(
        self,
        rows: Sequence[Tokens],
        asked: NDArray[np.bool_],
        features: int,
        wanted: Injected,
        kept: Mapping[str, Any],
    ) -> None:
        self._asked = asked
        texts = [np.array(row.prompt) for row in rows]
        words = [np.array(row.roles or [1] * len(row.prompt)) > 0 for row in rows]
        lengths = range(1, wanted.grams + 1)
        self._grams = [grams_of(texts, words, asked, n, wanted.at_least) for n in lengths]
        self._kept = kept if "done" in kept else {}
        self.found = TokenSums(
            [
                GramSums(
                    one.ids,
                    self._so_far(f"texts {n}", (len(LABELS), len(one.ids)), np.int64),
                    self._so_far(f"positions {n}", (len(LABELS), len(one.ids)), np.int64),
                    self._so_far(f"total {n}", (len(LABELS), len(one.ids), features), np.float64),
                )
                for n, one in zip(lengths, self._grams, strict=True)
            ],
            self._so_far("peaks", (len(LABELS), features), np.float64),
            asked.sum(axis=1),
        )
        self.groups = int(self._kept.get("done", 0))

    def _so_far(self, name: str, shape: tuple[int, ...], dtype: type) -> NDArray[Any]:
        found: NDArray[Any] = self._kept.get(name, np.zeros(shape, dtype))
        return found

    @property
    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        sums = {
            f"{name} {n}": getattr(one, name)
            for n, one in enumerate(self.found.grams, 1)
            for name in ("texts", "positions", "total")
        }
        return sums | {"peaks": self.found.peaks, "done": self.groups}

    def add(self, chosen: Sequence[int], values: TokenValues) -> None:
        """Take in a batch that was made of these rows."""
        peaks = values.peaks(len(chosen))
        for at, number in enumerate(chosen):
            mine = values.row == at
            variants = self._asked[:, number].nonzero()[0]
            self.found.peaks[variants] += peaks[at]
            for sums, grams in zip(self.found.grams, self._grams, strict=True):
                ending = grams.ends[number][values.place[mine]]
                counted, own = ending[ending >= 0], values.values[mine][ending >= 0]
                for variant in variants:
                    np.add.at(sums.total[variant], counted, own)
                    np.add.at(sums.positions[variant], counted, 1)
                    sums.texts[variant, np.unique(counted)] += 1
