"""Float64 where a device has it, and on the CPU where it does not: Apple's MPS stops at float32."""

import torch
from torch import Tensor

WITHOUT_DOUBLE = {"mps"}  # kinds of devices


def on_precise(tensor: Tensor) -> Tensor:
    """The same tensor of any shape, on a device that knows float64."""
    return tensor.cpu() if tensor.device.type in WITHOUT_DOUBLE else tensor


def double(tensor: Tensor) -> Tensor:
    """The same numbers in float64, of any shape, on a device that knows it."""
    return on_precise(tensor).double()


def total(tensor: Tensor) -> Tensor:
    """The sum of (n, ...) over its first dimension, (...), added up in float64."""
    return on_precise(tensor).sum(0, dtype=torch.float64)
