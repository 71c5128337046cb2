"""Whether a family that nobody has tried here can be replayed: by a few forwards of its own."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

from harness.errors import Fault, InputError
from harness.models.architecture import REMEDY
from harness.models.forward_types import AnswerScores
from harness.models.language_model import LanguageModel
from harness.models.logprobs import split_by_answer, token_logprobs
from harness.models.padded_batch import Tokens, positions_of
from harness.models.plain_forward import furthest, logprobs_of, scaled
from harness.models.prompt_rows import cached_forward
from harness.models.suffix import suffix_of

IDS = (11, 23, 5, 17, 29, 7)  # of any tokens: what they mean does not matter
LONGEST = 48  # tokens of a row
NEAR = {
    torch.float32: 1e-3,
    torch.bfloat16: 0.5,
    torch.float16: 0.1,
}  # nats, between two ways of adding up


@torch.no_grad()
def try_family(model: LanguageModel) -> None:
    """Hold a model of an unknown family against its own plain forward, and its replays against both.

    Raises `InputError`, in one sentence, where they disagree, or where it takes no such masks.
    """
    if model.architecture.family.known:
        return
    near = NEAR[model.network.dtype]
    try:
        what = next((what for far, what in differences(model) if not far <= near), None)
    except Exception as error:  # whatever a stranger's code raises
        said = str(error).split("\n")[0] or type(error).__name__
        what = f"its blocks cannot be called one by one ({said[:200]})"
    if what is not None:
        kind = model.architecture.config.model_type
        raise InputError(Fault(f"models of kind {kind}", what, REMEDY))


def differences(model: LanguageModel) -> Iterator[tuple[float, str]]:
    """How far apart what must be the same is, in nats, and what it means where it is not."""
    vocabulary = model.architecture.config.vocab_size
    ids = tuple(token % vocabulary for token in IDS)
    # Longer than the windows that models have within which they would be wrong unseen, as far as they may be.
    fits = min(LONGEST, model.architecture.widest, model.architecture.longest) - len(ids)
    long = (ids * LONGEST)[: max(3, fits)]
    rows = [Tokens(long, (ids[3:5], ids[4:])), Tokens(ids[:2], (ids[3:5], ids[4:]))]
    network, row = model.network, torch.arange(len(rows))

    def plain(*edit: Any) -> AnswerScores:
        return [[logprobs_of(network, of.prompt, one, *edit) for one in of.answers] for of in rows]

    beside = "answers beside each other, or padding, change each other in it"
    yield furthest(model.forward(model.batch(rows)), plain()), beside
    again = "computing its blocks again from an edited stream does not give what an edit does"
    for block in range(model.depth):
        kept = cached_forward(model, rows, [block])
        suffix = suffix_of(kept.batch, kept.reads, row, torch.ones_like(row))
        stream = suffix.on(model.device).of(kept.held[block])
        inside = suffix.of(positions_of(kept.batch, "all")).to(model.device)[..., None]
        for factor in (1.0, 1.5):
            edited = torch.where(inside, scaled(stream, factor), stream)
            scores = token_logprobs(model.replay(kept, suffix, block, edited), kept.reads, row)
            found = split_by_answer(scores.cpu(), kept.reads.answer)
            yield furthest(found, plain(block, partial(scaled, factor=factor))), again
