"""A model without the harness: transformers' own forward of one row, and torch's own hooks.

What the harness makes of masks, places, branches, taps and caches is held against it, so none of it is used.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


def blocks_of(network: Any) -> nn.ModuleList:
    """The decoder's blocks: the first list in it of as many modules as the configuration says."""
    depth = network.config.get_text_config().num_hidden_layers
    decoder = network.get_decoder() or network.base_model
    lists = (one for one in decoder.modules() if isinstance(one, nn.ModuleList))
    return next(one for one in lists if len(one) == depth)


def logprobs_of(
    network: Any,
    prompt: tuple[int, ...],
    answer: tuple[int, ...],
    block: int | None = None,
    edit: Callable[[Tensor], Tensor] = lambda stream: stream,
) -> Tensor:
    """The log-probability of each token of an answer, (tokens,), in float32 nats, on the processor.

    `edit` changes the stream (1, columns, width) after `block`, at every column but the first.
    """

    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        stream = output[0] if isinstance(output, tuple) else output
        stream = torch.cat([stream[:, :1], edit(stream[:, 1:])], 1)
        return (stream, *output[1:]) if isinstance(output, tuple) else stream

    ids = torch.tensor([prompt + answer], device=network.device)
    handle = None if block is None else blocks_of(network)[block].register_forward_hook(hook)
    try:
        logits = network(ids, use_cache=False).logits[0]
    finally:
        if handle is not None:
            handle.remove()
    token = torch.tensor(answer, device=logits.device)[:, None]
    scored = logits[len(prompt) - 1 : -1].float().log_softmax(-1)
    return scored.gather(-1, token)[:, 0].cpu()


def hidden_states_of(network: Any, ids: tuple[int, ...]) -> tuple[Tensor, ...]:
    """The embeddings, then the stream after each block, (columns, width); the last after the final norm."""
    row = torch.tensor([ids], device=network.device)
    output = network(row, output_hidden_states=True, use_cache=False)
    return tuple(states[0] for states in output.hidden_states)


def scaled(stream: Tensor, factor: float) -> Tensor:
    """Every other dimension of a stream (..., width), times a factor: of all of them a norm takes it back."""
    stream = stream.clone()
    stream[..., ::2] *= factor
    return stream


def furthest(some: Sequence[Sequence[Tensor]], others: Sequence[Sequence[Tensor]]) -> float:
    """The largest difference between scores, by row and answer (tokens,); infinite where one is NaN."""
    far = [
        float((one - other).abs().max())
        for row, other_row in zip(some, others, strict=True)
        for one, other in zip(row, other_row, strict=True)
    ]
    return torch.inf if any(value != value for value in far) else max(far)
