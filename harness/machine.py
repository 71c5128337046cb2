"""What this machine can run: which target, on which device."""

from collections.abc import Mapping

import torch

from harness import hub
from harness.faults import CannotRun, Fault, InputError, nearest
from harness.target import load_targets


def choose_target(targets: Mapping[str, tuple[int, ...]], wanted: str = "auto") -> tuple[str, str]:
    """The target to run on, of these with their layers, and why.

    `auto`: the real model where it can run, else the organism.
    """
    if wanted != "auto":
        if wanted not in load_targets():
            raise InputError(
                Fault(
                    f"target {wanted}", "there is no such target", nearest(wanted, load_targets())
                )
            )
        return wanted, "as asked"
    known = load_targets()
    reasons = []
    for name, layers in targets.items():
        target = known[name]
        if target.is_local:
            continue
        if not torch.cuda.is_available():
            reasons.append(f"no CUDA device for {name}")
        elif not hub.is_present(target, layers):
            reasons.append(f"the weights of {name} are not here")
        else:
            return name, "its weights and a CUDA device are here"
    for name in targets:
        if known[name].is_local:
            return name, ", ".join(reasons) or "it is the only one"
    raise CannotRun(
        Fault(", ".join(targets), "; ".join(reasons), "add `organism: {layers: all}` to targets")
    )


def choose_device(wanted: str) -> str:
    """`auto` is CUDA where there is one; raises `CannotRun` for a device that is not there."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=wanted)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise CannotRun(
            Fault(f"device {wanted}", f"cannot be used: {reason}", "use --device cpu")
        ) from None
    return wanted
