"""Which units are worked on together: a run that is taken up again computes each row in the same company."""

from collections.abc import Iterator, Sequence

from harness.runner.context import RunContext
from harness.specs.unit import Stage, Unit

SMALL = 30_000_000  # parameters of a model whose batches a processor does in a fraction of a second


def prompts_together(
    stage: Stage, asked: int, *, on_cpu: bool, parameters: int, replays: int = 0
) -> int:
    """How many prompts are worked on together: not more than a processor does in seconds.

    Larger groups waste less on padding, and a small model does more in the time. It follows from the
    plan, the model, the device and the batch size that was `asked` for alone; of an ablation there are so
    many `replays` of each prompt.
    """
    if stage in ("ablate", "side effects", "inject"):
        # Each replay is a row of its own; another device is faster the more of a layer there are.
        return max(1, (4 if on_cpu else 16) * asked // replays)
    # On another device the SAEs are read once a group, which takes longer than the forwards.
    batches = 4 if not on_cpu or parameters < SMALL else 1
    return batches if on_cpu and stage in ("attribute", "predict") else batches * asked


def together(context: RunContext, stage: Stage) -> int:
    """How many prompts a stage of a run works on together, see `prompts_together`."""
    return prompts_together(
        stage,
        context.limit.asked,
        on_cpu=context.model.device.type == "cpu",
        parameters=context.model.n_parameters,
    )


def group_units(units: Sequence[Unit], prompts: int) -> Iterator[tuple[Unit, ...]]:
    """Whole units together until they hold so many prompts.

    Groups are the same whatever is finished already: a run that is taken up again computes each row
    in the same company, so its floats are the same.
    """
    group: list[Unit] = []
    for unit in units:
        group.append(unit)
        if sum(len(member.prompts) for member in group) >= prompts:
            yield tuple(group)
            group = []
    if group:
        yield tuple(group)
