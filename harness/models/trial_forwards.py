"""Whether a family that nobody has tried here can be replayed: by a few forwards of its own."""

from collections.abc import Callable, Iterator
from itertools import chain
from math import isnan

import torch
from torch import Tensor

from harness.errors import Fault, InputError
from harness.models.architecture import REMEDY
from harness.models.forward_types import AnswerScores
from harness.models.language_model import LanguageModel
from harness.models.logprobs import split_by_answer, token_logprobs
from harness.models.padded_batch import Tokens, positions_of
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
        what = next((what for far, what in _differences(model) if not far <= near), None)
    except Exception as error:  # whatever a stranger's code raises
        said = str(error).split("\n")[0] or type(error).__name__
        what = f"its blocks cannot be called one by one ({said[:200]})"
    if what is not None:
        kind = model.architecture.config.model_type
        raise InputError(Fault(f"models of kind {kind}", what, REMEDY))


def _differences(model: LanguageModel) -> Iterator[tuple[float, str]]:
    """How far apart what must be the same is, in nats, and what it means where it is not."""
    vocabulary = model.architecture.config.vocab_size
    ids = tuple(token % vocabulary for token in IDS)
    # Longer than the windows that models have within which they would be wrong unseen, as far as they may be.
    fits = min(LONGEST, model.architecture.widest, model.architecture.longest) - len(ids)
    long = (ids * LONGEST)[: max(3, fits)]
    rows = [Tokens(long, (ids[3:5], ids[4:])), Tokens(ids[:2], (ids[3:5], ids[4:]))]
    batch = model.batch(rows)
    alone = [
        [_plain(model, row.prompt + said)[-len(said) :] for said in row.answers] for row in rows
    ]
    beside = "answers beside each other, or padding, change each other in it"
    yield _furthest(model.forward(batch), alone), beside

    again = "computing its blocks again from an edited stream does not give what an edit does"
    inside = positions_of(batch, "all")
    row = torch.arange(len(rows))
    for block in range(model.depth):
        kept = cached_forward(model, rows, [block])
        suffix = suffix_of(kept.batch, kept.reads, row, torch.ones_like(row))
        stream = suffix.on(model.device).of(kept.residuals[block])
        within = suffix.of(positions_of(kept.batch, "all")).to(model.device)
        for factor in (1.0, 1.5):
            edited = model.forward(batch, {block: _times(factor, inside.to(model.device))})
            logprobs = model.replay(kept, suffix, block, _times(factor, within)(stream))
            scores = token_logprobs(logprobs, kept.reads, row)
            yield _furthest(split_by_answer(scores.cpu(), kept.reads.answer), edited), again


def _times(factor: float, inside: Tensor) -> Callable[[Tensor], Tensor]:
    """Half of the stream's dimensions: a norm takes a factor of all of them back."""

    def scale(stream: Tensor) -> Tensor:
        half = inside[..., None] & (torch.arange(stream.shape[-1], device=stream.device) % 2 == 0)
        return torch.where(half, factor * stream, stream)

    return scale


def _plain(model: LanguageModel, ids: tuple[int, ...]) -> Tensor:
    """The log-probability of each token after the first, by the network alone."""
    logits = model.network(torch.tensor([ids], device=model.device), use_cache=False).logits[0]
    token = torch.tensor(ids[1:], device=logits.device)[:, None]
    return logits[:-1].float().log_softmax(-1).gather(-1, token)[:, 0].cpu()


def _furthest(some: AnswerScores, others: AnswerScores) -> float:
    pairs = zip(chain(*some), chain(*others), strict=True)
    far = [float((one - other).abs().max()) for one, other in pairs]
    return torch.inf if any(map(isnan, far)) else max(far)
