"""What was reckoned on the processor, sent to a device in one copy: each copy may keep the host waiting."""

import torch
from torch import Tensor


def send(device: torch.device, *tensors: Tensor) -> tuple[Tensor, ...]:
    """The same int64 and bool tensors, of any shapes, on `device`, copied there together."""
    if device.type == "cpu":
        return tensors
    packed = torch.cat([tensor.long().flatten() for tensor in tensors])
    # From pinned memory the copy joins the queue of the device, and the host goes on.
    packed = packed.pin_memory() if device.type == "cuda" else packed
    parts = packed.to(device, non_blocking=True).split([tensor.numel() for tensor in tensors])
    return tuple(
        part.view(tensor.shape).to(tensor.dtype)
        for part, tensor in zip(parts, tensors, strict=True)
    )
