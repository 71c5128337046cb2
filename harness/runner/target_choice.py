"""Which of a spec's targets is run: the one that is asked for, or the best one present."""

from collections.abc import Collection, Mapping

import torch

from harness.errors import Fault, InputError, NothingToRunOn, nearest
from harness.models import requirements
from harness.specs.targets import Target

LARGEST = 10**9  # weights: of fewer, a model runs on a processor in minutes


def choose_target(
    targets: Mapping[str, Target],
    layers: Mapping[str, tuple[int, ...]],
    wanted: str = "auto",
    known: Collection[str] = (),
) -> tuple[str, str]:
    """The target to run on, of a spec's targets and the layers it reads on each, and why.

    `auto`: a real model where it can run, else what lies on this machine, else a small model whose weights
    are here. What is `known` besides may be named, and is not the spec's. Raises `NothingToRunOn` where
    there is none, `InputError` for a name of none.
    """
    if wanted != "auto":
        names = {*known, *targets}
        if wanted not in names:
            raise InputError(
                Fault(f"target {wanted}", "there is no such target", nearest(wanted, names))
            )
        return wanted, "as asked"
    reasons = []
    for name, target in targets.items():
        if requirements.is_local(target):
            continue
        here = requirements.is_present(target, layers[name])
        if not torch.cuda.is_available() and (here or not _is_small(target)):
            reasons.append(f"no CUDA device for {name}")
        elif not here:
            reasons.append(f"the weights of {name} are not here")
        else:
            return name, "its weights and a CUDA device are here"
    for name, target in targets.items():
        if requirements.is_local(target):
            return name, ", ".join(reasons) or "it is the only one"
    for name, target in targets.items():
        if _is_small(target) and requirements.is_present(target, layers[name]):
            return name, f"its weights are here, and few; {', '.join(reasons)}"
    raise NothingToRunOn(
        Fault(
            ", ".join(targets),
            "; ".join(reasons),
            "name one with --target to run it all the same, or add `organism: {layers: all}`",
        )
    )


def _is_small(target: Target) -> bool:
    return (requirements.parameters(target) or LARGEST) < LARGEST
