"""The tokens whose logits a feature moves most by itself: rows of `feature_logits`."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

from harness.runner.context import RunContext
from harness.specs.intervention import Feature
from harness.store.tables.observations import FeatureLogits

TOP = 10  # tokens of either end
AT_ONCE = 32  # features whose logits of the whole vocabulary are held


def feature_logits(context: RunContext, features: Iterable[Feature]) -> FeatureLogits:
    """Of each feature's decoder row; no rows where the model's unembedding cannot be read."""
    by_layer: dict[int, list[int]] = defaultdict(list)
    for layer, feature in sorted(features):
        by_layer[layer].append(feature)
    return FeatureLogits.of(
        row
        for layer, members in by_layer.items()
        for at in range(0, len(members), AT_ONCE)
        for row in _rows(context, layer, members[at : at + AT_ONCE])
    )


def _rows(context: RunContext, layer: int, features: list[int]) -> Iterator[dict[str, Any]]:
    decoder = context.saes(layer).w_dec
    logits = context.model.direct_logits(decoder[torch.tensor(features, device=decoder.device)])
    if logits is None:
        return
    for feature, values in zip(features, logits.numpy(), strict=True):
        # Ties in the order of the ids, so that a repetition has the same rows.
        ends = {"up": np.argsort(-values, kind="stable"), "down": np.argsort(values, kind="stable")}
        for side, order in ends.items():
            for rank, token in enumerate(order[:TOP].tolist()):
                yield {
                    "run_id": context.run_id,
                    "layer": layer,
                    "feature": feature,
                    "side": side,
                    "rank": rank,
                    "token_id": token,
                    "token": context.model.token_of(token),
                    "logit": float(values[token]),
                    "origin": context.origin,
                }
