"""What is read at a readout."""

import pytest

from harness.models.padded_batch import where
from harness.runner.stages.observe import observe
from harness.sae.jumprelu import encode
from harness.store.tables.observations import Activations
from tests.helpers.runs import a_bench, sae
from tests.helpers.specs import ablation_plan, family_lines


def test_readouts_at_the_answer_read_the_own_answer_alone():
    same = [line | {"prompt": line["prompt"].split(". ")[1]} for line in family_lines()]
    plan, bench = ablation_plan(same, at="answer", by="attribution"), a_bench()
    columns = observe(bench, plan, plan.prompts)
    found = {
        (p, int(layer), int(f)): v
        for table in columns
        if isinstance(table, Activations)
        for p, layer, f, v in zip(table.prompt_id, table.layer, table.feature, table.value, strict=True)
    }  # fmt: skip
    for prompt in plan.prompts[:6]:
        batch = bench.model.batch([bench.model.tokens(prompt.text, prompt.answer)])
        seen = {}
        bench.model.forward(batch, {1: lambda x, seen=seen: seen.update(x=x)})
        values = encode(sae(1), seen["x"][where(batch, "answer")]).mean(0)
        for feature in values.nonzero()[:, 0].tolist():
            assert found[prompt.id, 1, feature] == pytest.approx(float(values[feature]), abs=1e-4)
