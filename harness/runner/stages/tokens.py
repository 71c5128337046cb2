"""At which tokens an ablation's features are most active in the discovering prompts.

Rows of `injected_tokens`: what is put into neutral texts. They are frozen here, and nothing of the confirming
families decides them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.analysis.strongest_tokens import TokenSums, strongest_tokens
from harness.models.adaptive_batching import map_batches, split_by_length
from harness.models.padded_batch import Tokens
from harness.runner.checkpoint import UNKEPT, Checkpoint
from harness.runner.context import RunContext
from harness.runner.traced_features import TokenValues, prepare_trace, token_values
from harness.specs.ablations import Ablation
from harness.specs.intervention import Intervention
from harness.specs.plan import Plan
from harness.specs.prompt import LABELS, Prompt
from harness.store.tables.columns import Columns
from harness.store.tables.interventions import InjectedTokens


def tokens(
    context: RunContext,
    plan: Plan,  # noqa: ARG001 # as all stages that add up are given it
    ablation: Ablation,
    target: Intervention,
    prompts: Sequence[Prompt],
    *,
    together: int = 64,
    checkpoint: Checkpoint = UNKEPT,
) -> list[Columns]:
    """The strongest tokens of each of the target's features in these prompts, of both variants.

    So many rows `together` are added up before the sums so far are kept in the `checkpoint`. What a chat's
    template puts between the words counts for no token. Raises `CannotRun` where NaN or infinity arises.
    """
    texts = list(dict.fromkeys(prompt.asked for prompt in prompts))
    said = {(prompt.asked, prompt.label) for prompt in prompts}
    asked = np.array([[(text, label) in said for text in texts] for label in LABELS])
    rows = [context.model.tokens(text) for text in texts]
    traced = prepare_trace(context, target.features)
    features = [(layer, int(one)) for layer in sorted(traced) for one in traced[layer].features]
    sums = _Sums(rows, asked, len(features), checkpoint.load())
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
                "token_id": one.token_id,
                "token": name_of(one.token_id),
                "mean_activation": one.mean_activation,
                "positions": one.positions,
                "texts": one.texts,
                "origin": context.origin,
            }
            for one in strongest_tokens(sums.found, features, ablation, context.model.special_ids)
        )
    ]


class _Sums:
    """Sums over so many `groups` of rows; which variants have a row's text is `asked` (2, n_rows)."""

    def __init__(
        self,
        rows: Sequence[Tokens],
        asked: np.ndarray[Any, np.dtype[np.bool_]],
        features: int,
        kept: Mapping[str, Any],
    ) -> None:
        self._rows, self._asked = rows, asked
        ids = np.unique(np.concatenate([row.prompt for row in rows]))
        shape = len(LABELS), len(ids)
        self.found = TokenSums(
            ids,
            kept.get("texts", np.zeros(shape, np.int64)),
            kept.get("positions", np.zeros(shape, np.int64)),
            kept.get("total", np.zeros((*shape, features))),
            kept.get("peaks", np.zeros((len(LABELS), features))),
            asked.sum(axis=1),
        )
        self.groups = int(kept.get("groups", 0))

    @property
    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        names = ("texts", "positions", "total", "peaks")
        return {name: getattr(self.found, name) for name in names} | {"groups": self.groups}

    def add(self, chosen: Sequence[int], values: TokenValues) -> None:
        """Take in a batch that was made of these rows."""
        found, peaks = self.found, values.peaks(len(chosen))
        for at, number in enumerate(chosen):
            row = self._rows[number]
            mine = values.row == at
            roles = np.array(row.roles or [1] * len(row.prompt))[values.place[mine]]
            place, own = values.place[mine][roles > 0], values.values[mine][roles > 0]
            token = np.searchsorted(found.ids, np.array(row.prompt)[place])
            for variant in self._asked[:, number].nonzero()[0]:
                np.add.at(found.total[variant], token, own)
                np.add.at(found.positions[variant], token, 1)
                found.texts[variant, np.unique(token)] += 1
                found.peaks[variant] += peaks[at]
