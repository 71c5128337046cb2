"""The backward rules of Relevance Patching on a Gemma 2, for a measurement and for no run.

Rezaei Jafari, Eberle, Khakzar and Nanda 2025, arXiv:2508.21258: the gradient of attribution patching with the
rules of layer-wise relevance propagation in its place. A norm's division is a constant; so is what an
activation multiplies its input by; a product of gate and value hands half to each; an attention pattern is a
constant. Forwards are as they were: what changes is what flows back.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn


def as_factor(before: Tensor, after: Tensor) -> Tensor:
    """`after`, made of `before` element by element, with their ratio taken for a constant."""
    at_zero = before == 0
    ratio = (after / before.masked_fill(at_zero, 1)).masked_fill(at_zero, 0).detach()
    return before * ratio


def half(product: Tensor) -> Tensor:
    """A product of two things, of which each is handed half of what flows back."""
    return product / 2 + product.detach() / 2


@contextmanager
def relevance_rules(network: Any) -> Iterator[None]:
    """Within it gradients of a Gemma 2 are relevances, divided by what they are the relevance of."""
    config = network.config
    with ExitStack() as stack:
        for name, module in network.named_modules():
            if name.endswith("norm"):
                stack.enter_context(_hooked(module, _normed))
            elif name.endswith("mlp"):
                stack.enter_context(_hooked(module, _multiplied))
            elif name.endswith(("q_proj", "k_proj")):
                stack.enter_context(_hooked(module, lambda _m, _i, out: out.detach()))
        cap, config.final_logit_softcapping = config.final_logit_softcapping, None
        stack.callback(setattr, config, "final_logit_softcapping", cap)

        def capped(_module: nn.Module, _inputs: tuple[Tensor], out: Tensor) -> Tensor:
            return as_factor(out, cap * torch.tanh(out / cap))

        stack.enter_context(_hooked(network.lm_head, capped))
        yield


@contextmanager
def _hooked(module: nn.Module, hook: Any) -> Iterator[None]:
    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _normed(_norm: Any, inputs: tuple[Tensor], out: Tensor) -> Tensor:
    return as_factor(inputs[0], out)


def _multiplied(mlp: Any, inputs: tuple[Tensor], _out: Tensor) -> Tensor:
    gate = mlp.gate_proj(inputs[0])
    found: Tensor = mlp.down_proj(half(as_factor(gate, mlp.act_fn(gate)) * mlp.up_proj(inputs[0])))
    return found
