"""What one process keeps open for several runs, and what it opens again."""

from dataclasses import replace

import numpy as np
import pytest

from harness.errors import CannotRun, Fault
from harness.runner import workplace
from harness.runner.context import How
from harness.runner.preparation import request, settled
from harness.runner.resume import RunStart
from harness.runner.tasks import Setup, Task
from harness.runner.workplace import Workplace
from harness.specs.spec_file import load
from tests.helpers.dictionaries import write_shuffled
from tests.helpers.specs import write_few

HOW = How(device="cpu", batch_size=4, threads=1)


def wanted(folder, layers="[1, 3]", name="few", sae=None):
    path = write_few(folder, layers=layers, name=name)
    if sae is not None:
        text = path.read_text()
        path.write_text(text.replace(f"layers: {layers}", f"layers: {layers}, sae: {sae}"))
    return request(load(path), "organism", HOW, pytest.fail)


def opened(place, asked, run_id="r"):
    """A run that has begun there."""
    fitted = place.fit(asked, HOW, 20, check=pytest.fail, say=lambda _: None)
    start = RunStart(run_id, None, 4, 1, {})
    return Setup(settled(asked, fitted.target), HOW, start)


def decoder(context):
    return context.model, context.saes(1), context.saes(1).w_dec.sum().item()


def test_runs_of_one_target_share_a_model_and_saes_and_of_other_layers_the_model(
    tmp_path, monkeypatch
):
    place, prepared = Workplace(), []
    honest = workplace.prepare
    monkeypatch.setattr(workplace, "prepare", lambda *a, **k: prepared.append(1) or honest(*a, **k))
    setups = [opened(place, wanted(tmp_path, name=name)) for name in ("few", "more")]
    setups.append(opened(place, wanted(tmp_path, "[1, 2, 3]", name="other")))
    found = [place.do(one, Task("look", decoder)).value for one in setups]
    again = [place.do(one, Task("look again", decoder)).value for one in setups]
    assert len({id(model.network) for model, *_ in found + again}) == 1
    assert found[0][1] is found[1][1] is again[0][1]
    assert len(prepared) == 3  # as each is fitted, and no more
    assert [id(sae) for _, sae, _ in again] == [id(sae) for _, sae, _ in found]


def test_a_run_has_the_saes_that_are_there_when_it_is_fitted(tmp_path):
    """Two runs of one name and target, whose files changed in between."""
    write_shuffled(tmp_path / "saes")
    place, sums = Workplace(), []
    for factor in (1.0, 2.0):
        (file,) = (tmp_path / "saes" / "layer_1").rglob("params.npz")
        with np.load(file) as found:
            arrays = dict(found)
        np.savez(file, **arrays | {"W_dec": arrays["W_dec"] * np.float32(factor)})
        setup = opened(place, wanted(tmp_path, sae="saes"), f"r{factor}")
        sums.append(place.do(setup, Task("look", decoder)).value[2])
    assert sums[1] == pytest.approx(2 * sums[0], rel=1e-4)


def test_another_model_is_let_go_before_the_next_one_is_loaded(tmp_path, monkeypatch):
    place = Workplace()
    place.do(opened(place, wanted(tmp_path)), Task("look", decoder))
    asked = wanted(tmp_path, name="other")
    target = replace(asked.plan.target, model="lab/another")

    def load(*_, **__):
        assert not place._resources
        assert not place._runs
        raise CannotRun(Fault("model", "it is tried no further", "none"))

    assert place._resources
    monkeypatch.setattr(workplace, "prepare", load)
    with pytest.raises(CannotRun, match="tried no further"):
        opened(place, replace(asked, plan=replace(asked.plan, target=target)))
