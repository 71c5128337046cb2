"""What an ablation's features are at the readout of prompts of another file: rows of `decoys`."""

from collections.abc import Sequence

import numpy as np

from harness.models.prompt_rows import PromptRows
from harness.runner.context import RunContext
from harness.runner.prompt_replays import joined
from harness.runner.readouts import read
from harness.specs.intervention import Intervention
from harness.specs.plan import Plan
from harness.specs.prompt import Prompt
from harness.store.tables.columns import Columns
from harness.store.tables.interventions import Decoys


def decoys(
    context: RunContext, plan: Plan, target: Intervention, file: str, prompts: Sequence[Prompt]
) -> list[Columns]:
    """The value of each feature of `target` at the readout of each prompt of a `file`; 0 where it is silent.

    Raises `CannotRun` where NaN or infinity arises.
    """
    rows = PromptRows(context.model, prompts)
    _, readout = read(context, rows, plan.spec.readout.at, target.layers, prompts)
    found: list[Decoys] = []
    for layer in target.layers:
        own = np.array([index for at, index in target.features if at == layer])
        sae = context.saes(layer)
        values = np.zeros((len(prompts), sae.features))
        most = context.limit.positions(sae.features)
        for prompt, feature, value in readout.features(layer, sae, plan.spec.readout.reduce, most):
            values[prompt.numpy(), feature.numpy()] = value.numpy()
        found += [
            Decoys.filled(
                run_id=context.run_id,
                ablation=target.ablation,
                file=file,
                decoy=prompt.tags.get("decoy", ""),
                family=prompt.family,
                pair_id=prompt.pair_id,
                prompt_id=prompt.id,
                label=prompt.label,
                layer=layer,
                feature=own,
                value=values[i, own],
                origin=context.origin,
            )
            for i, prompt in enumerate(prompts)
        ]
    return [joined(Decoys, found)]
