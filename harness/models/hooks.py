"""Hooks that are taken off again on every way out."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from harness.models.forward import Tap


def finish(steps: list[Callable[[], object]]) -> None:
    """Take every step, whatever interrupts: a second Ctrl-C must not stop the cleaning up."""
    interrupted: KeyboardInterrupt | None = None
    while steps:
        try:
            steps[-1]()
            steps.pop()
        except KeyboardInterrupt as error:
            interrupted = error
    if interrupted is not None:
        raise interrupted


def hook_of(tap: Tap, device: torch.device) -> Callable[..., Any]:
    """A tap as a forward hook of a block, whose stream it sees on `device`."""

    # A block returns its residual stream in transformers 5, and a tuple that begins with it in 4.
    # Where a model is spread over devices a tap sees the stream on the model's first one.
    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        stream = output[0] if isinstance(output, tuple) else output
        changed = tap(stream.to(device))
        if changed is None:
            return None
        changed = changed.to(stream.device)
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    return hook
