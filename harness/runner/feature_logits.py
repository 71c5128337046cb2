"""The tokens whose logits a feature moves most by itself: rows of `feature_logits`."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.models.unembedding import added_by_heads
from harness.runner.context import RunContext
from harness.runner.traced_features import TracedFeatures
from harness.specs.intervention import Feature
from harness.store.tables.observations import FeatureLogits

TOP = 10  # tokens of either end
AT_ONCE = 64  # features whose logits of the whole vocabulary are held


def feature_logits(context: RunContext, traced: Mapping[int, TracedFeatures]) -> FeatureLogits:
    """Of the decoder row of each feature; no rows where the model's unembedding cannot be read."""
    names = [(layer, int(feature)) for layer, part in traced.items() for feature in part.features]
    return FeatureLogits.of(_rows(context, names, traced))


def _added(context: RunContext, layer: int, part: TracedFeatures) -> Tensor:
    """What the features' decoder rows add to the stream, (n, width)."""
    rows = part.sae.w_dec
    if context.model.site != "attn_z":
        return rows
    return added_by_heads(context.model.parts(layer), rows).to(rows.device)


def _rows(
    context: RunContext, names: list[Feature], traced: Mapping[int, TracedFeatures]
) -> Iterator[dict[str, Any]]:
    if not names:
        return
    # Together, since each pass reads the whole unembedding.
    rows = torch.cat([_added(context, layer, part) for layer, part in traced.items()])
    for at in range(0, len(names), AT_ONCE):
        logits = context.model.direct_logits(rows[at : at + AT_ONCE])
        if logits is None:
            return
        for (layer, feature), values in zip(names[at : at + AT_ONCE], logits.numpy(), strict=True):
            # Ties in the order of the ids, so that a repetition has the same rows.
            ends = {
                "up": np.argsort(-values, kind="stable"),
                "down": np.argsort(values, kind="stable"),
            }
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
