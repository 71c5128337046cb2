"""Whether a model's blocks are what their sites take them for: by a few forwards of its own."""

from collections.abc import Iterator

import torch
from torch import Tensor

from harness.errors import Fault, InputError
from harness.models.block_parts import REMEDY
from harness.models.hooks import capture
from harness.models.language_model import LanguageModel
from harness.models.logprobs import token_logprobs
from harness.models.padded_batch import Tokens
from harness.models.prompt_rows import cached_forward
from harness.models.replay_starts import BEGINS
from harness.models.suffix import suffix_of
from harness.models.trial_forwards import IDS, NEAR
from harness.specs.sites import Site

SUMMED = {torch.float32: 1e-3, torch.bfloat16: 0.05, torch.float16: 0.01}  # of the stream's length


@torch.no_grad()
def try_site(model: LanguageModel) -> None:
    """Hold what attention and MLP put out against the stream, and a replay against a forward.

    Raises `InputError`, in one sentence, where they disagree. Sites of the stream itself need no trial.
    """
    if model.site not in BEGINS:
        return
    dtype = model.network.dtype
    try:
        wrong = not (
            sums(model) <= SUMMED[dtype] and all(far <= NEAR[dtype] for far in replayed(model))
        )
    except InputError:
        raise
    except Exception:  # whatever a stranger's code raises
        wrong = True
    if wrong:
        what = "what attention and MLP add to the stream is not found in its blocks"
        raise InputError(
            Fault(f"models of kind {model.architecture.config.model_type}", what, REMEDY)
        )


def sums(model: LanguageModel) -> float:
    """The largest difference, over the blocks, between what a block does to the stream and its parts' sum.

    Relative to the stream's length.
    """
    sites: tuple[Site, ...] = ("resid_pre", "attn_out", "mlp_out", "resid_post")
    held = {site: _captured(model.at(site)) for site in sites}
    factor = model.architecture.residual_factor
    far = [
        after.float() - before.float() - factor * (attention.float() + mlp.float())
        for before, attention, mlp, after in zip(*held.values(), strict=True)
    ]
    lengths = [after.float().norm() for after in held["resid_post"]]
    return max(float(one.norm() / length) for one, length in zip(far, lengths, strict=True))


def replayed(model: LanguageModel) -> Iterator[float]:
    """How far a replay from each block's site is from the forward where nothing is edited, in nats."""
    rows = [_row(model)]
    kept = cached_forward(model, rows, range(model.depth))
    row = torch.arange(1)
    suffix = suffix_of(kept.batch, kept.reads, row, torch.ones_like(row))
    there = suffix.on(model.device)
    for block in range(model.depth):
        logprobs = model.replay(kept, suffix, block, there.of(kept.held[block]))
        found, wanted = (
            token_logprobs(scores, kept.reads, row) for scores in (logprobs, kept.logprobs)
        )
        far = float((found - wanted).abs().max())
        yield torch.inf if far != far else far


def _captured(model: LanguageModel) -> list[Tensor]:
    """What the site of every block holds on a row, (1, columns, held width) each."""
    held: dict[int, Tensor] = {}
    model.forward(model.batch([_row(model)]), capture(range(model.depth), held))
    return [held[block] for block in range(model.depth)]


def _row(model: LanguageModel) -> Tokens:
    ids = tuple(token % model.architecture.config.vocab_size for token in IDS)
    return Tokens(ids, (ids[2:4],))
