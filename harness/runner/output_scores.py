"""Whether the tokens that a feature writes by itself come out when it is amplified: rows of `output_scores`.

The output score of Arad, Mueller and Belinkov 2025, arXiv:2505.20063: at the last token of a neutral opening,
10 times the largest value that any feature has there is added to the feature, and of the tokens that its
decoder row moves up most the likeliest one after that has the rank r, from 0, and the probability p of the
vocabulary's V tokens. The score is (1 - r / V) p. Here it is the mean over four openings, where they have
one; the tokens are the 10 of `feature_logits`, they take 20; the same without the edit stands beside it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from harness.interventions.edits import Edit, apply
from harness.models.padded_batch import Tokens
from harness.models.prompt_rows import cached_forward
from harness.models.suffix import first_read, suffix_of
from harness.models.transfer import send
from harness.runner.context import RunContext
from harness.runner.feature_logits import feature_logits
from harness.runner.traced_features import TracedFeatures, prepare_trace
from harness.sae import encode
from harness.specs.intervention import Feature
from harness.store.tables.columns import Columns
from harness.store.tables.observations import FeatureLogits, OutputScores

# The first is that of the paper; others are beside it, so that no score rests on one text.
OPENINGS = ("From my experience,", "In my opinion,", "The next day", "It is said that")
FACTOR = 10.0  # times the largest value of any feature there


def meanings(context: RunContext, features: Collection[Feature]) -> list[Columns]:
    """What some features write by themselves, and whether it comes out: rows of both tables."""
    traced = prepare_trace(context, features)
    logits = feature_logits(context, traced)
    return [logits, output_scores(context, traced, logits)]


def output_scores(
    context: RunContext, traced: Mapping[int, TracedFeatures], logits: FeatureLogits
) -> OutputScores:
    """Of each feature with tokens in `logits`; no row where nothing is active, or infinity arises."""
    tokens: dict[Feature, list[int]] = defaultdict(list)
    for row in logits.rows():
        if row["side"] == "up":
            tokens[row["layer"], row["feature"]].append(row["token_id"])
    plain = [context.model.tokens(text).prompt for text in OPENINGS]
    # What is read is what comes after the prompt, whichever token is looked up there.
    rows = [Tokens(prompt, ((prompt[-1],),)) for prompt in plain]
    return OutputScores.of(
        row
        for layer in (traced if tokens else ())
        for row in _of_layer(
            context, layer, rows, {key[1]: ids for key, ids in tokens.items() if key[0] == layer}
        )
    )


def score(logprobs: Tensor, tokens: Tensor) -> Tensor:
    """(1 - r / V) p of the likeliest of `tokens` (n, k) under `logprobs` (n, V) in nats: (n,).

    How many are likelier than it is its rank r.
    """
    best = logprobs.gather(1, tokens).amax(1, keepdim=True)
    rank = (logprobs > best).sum(1)
    return (1 - rank / logprobs.shape[1]) * best[:, 0].exp()


def _of_layer(
    context: RunContext, layer: int, rows: Sequence[Tokens], tokens: Mapping[int, Sequence[int]]
) -> Iterator[dict[str, Any]]:
    sae = context.saes(layer)
    cached = cached_forward(context.model, rows, [layer])
    last = first_read(cached.reads, cached.batch.columns)
    whole = suffix_of(cached.batch, cached.reads, torch.arange(len(rows)), last)
    held = whole.on(context.model.device).of(cached.held[layer])
    added = FACTOR * encode(sae, held).amax(-1)  # (rows, 1)
    ids = torch.tensor(list(tokens.values()))
    unedited = [one.expand(len(ids), -1) for one in cached.logprobs[:, -1]]
    before = torch.stack([score(one, _near(one, ids)) for one in unedited], 1).cpu()
    jobs = torch.cartesian_prod(torch.arange(len(ids)), torch.arange(len(rows)))
    names = torch.tensor(list(tokens))
    parts = []
    for feature, row in (part.T for part in jobs.split(context.limit.rows)):
        suffix = suffix_of(cached.batch, cached.reads, row, last[row])
        there = suffix.on(context.model.device)
        which, at = send(added.device, names[feature], row)
        edit = Edit(sae.only(which[:, None]), 0.0, added[at][..., None])
        begin = there.of(cached.held[layer])
        edited = apply(edit, begin, torch.ones(begin.shape[:2], dtype=torch.bool))
        logprobs = context.model.replay(cached, suffix, layer, edited)[:, -1]
        parts.append(score(logprobs, _near(logprobs, ids[feature])).cpu())
    after = torch.cat(parts).reshape(len(ids), len(rows))
    active = (added[:, 0] > 0).cpu()
    for feature, base, amplified in zip(tokens, before, after, strict=True):
        counted = active & amplified.isfinite()
        if counted.any():
            yield {
                "run_id": context.run_id,
                "layer": layer,
                "feature": feature,
                "score": float(amplified[counted].mean()),
                "base": float(base[counted].mean()),
                "added": float(added[:, 0].cpu()[counted].mean()),
                "n_texts": int(counted.sum()),
                "origin": context.origin,
            }


def _near(values: Tensor, ids: Tensor) -> Tensor:
    """Ids where these values are."""
    (there,) = send(values.device, ids)
    return there
