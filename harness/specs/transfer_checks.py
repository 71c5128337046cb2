"""Whether an edit of a set is the one that another eval made of it, so that what both do can be compared."""

from harness.specs.ablations import Ablation

# An edit by so much is in the unit of a feature, which is another one in another dictionary.
_IN_UNITS = ("clamp", "steer")


def other_edit(here: Ablation, there: Ablation, *, matched: bool) -> str:
    """How the edit there is another one, in words; nothing where it is the same.

    `matched` says that other features stand for those that were frozen.
    """
    for name in ("kind", "value", "source", "positions", "variant"):
        own, other = getattr(here, name), getattr(there, name)
        if own != other:
            return f"the edit that froze it is another one: `{name}` is {_said(other)}, and here {_said(own)}"
    if matched and here.kind in _IN_UNITS:
        return (
            f"{here.kind} is in the unit of a feature, and that of another dictionary's is another"
        )
    return ""


def _said(value: object) -> str:
    return "[" + ", ".join(map(str, value)) + "]" if isinstance(value, tuple) else str(value)
