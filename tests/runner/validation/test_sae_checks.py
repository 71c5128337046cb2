"""SAEs that fit pass every check; of each planted fault the check that names it does not hold."""

import dataclasses
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

import harness
from harness.errors import InputError
from harness.models.sae_files import sae_file
from harness.paths import bundled
from harness.runner.validation import validate as module
from harness.runner.validation.chosen_target import target_of
from harness.specs.targets import load_targets
from tests.helpers import ROOT

LAYER = 3


def own(layer=LAYER):
    return sae_file(load_targets()["organism"], layer)


def saved(path, change=lambda arrays: arrays, l0="average_l0_39"):
    """The organism's own SAE of a layer, changed, where published ones of layer 3 lie."""
    with np.load(own()) as file:
        arrays = change(dict(file))
    file = path / "layer_3" / "width_1k" / l0 / "params.npz"
    file.parent.mkdir(parents=True)
    np.savez(file, **arrays)
    return path


def checks(sae, layers=()):
    found = harness.validate("organism", str(sae), layers=layers, device="cpu")
    assert {check.layer for check in found.checks} == {None, LAYER}
    return {check.name: check for check in found.checks if check.layer is not None}, found.holds


def test_its_own_saes_pass():
    found = harness.validate("organism", device="cpu")
    assert found.holds
    assert [one.found for one in found.checks if one.layer is not None and not one.holds] == []
    layers = [one.layer for one in found.checks if one.name == "misfit"]
    assert layers == list(range(6))
    assert 0.01 < next(one.value for one in found.checks if one.name == "fvu") < 0.1


def test_an_sae_of_another_layer_is_named(tmp_path):
    path = tmp_path / "layer_3" / "width_1k" / "average_l0_39" / "params.npz"
    path.parent.mkdir(parents=True)
    shutil.copy(own(0), path)
    found, holds = checks(tmp_path)
    assert not holds
    assert found["misfit"].holds is False
    assert "wrong layer: it fits the output of block 0" in found["misfit"].found


def times(factor):
    def change(arrays):
        return arrays | {key: arrays[key] * factor for key in ("b_dec", "b_enc", "threshold")}

    return change


def test_an_unscaled_sae_is_named(tmp_path):
    found, holds = checks(saved(tmp_path, times(8.0)))
    assert not holds
    assert found["misfit"].holds is False
    assert found["width"].holds


def transposed(arrays):
    return arrays | {"W_enc": arrays["W_dec"], "W_dec": arrays["W_enc"]}


def another_width(arrays):
    cut = {"W_enc": arrays["W_enc"][:64], "W_dec": arrays["W_dec"][:, :64]}
    return arrays | cut | {"b_dec": arrays["b_dec"][:64]}


def not_a_number(arrays):
    return arrays | {"b_enc": np.full_like(arrays["b_enc"], np.nan)}


@pytest.mark.parametrize(
    "change, said",
    [(transposed, "W_enc has shape (1024, 128)"), (another_width, "64"), (not_a_number, "b_enc")],
)
def test_what_is_no_such_sae_is_a_check_of_its_file(tmp_path, change, said):
    found, holds = checks(saved(tmp_path, change))
    assert not holds
    assert list(found) == ["sae file"]
    assert said in found["sae file"].found


def test_a_square_sae_that_is_transposed_is_named(tmp_path):
    """Its shapes say nothing."""

    def square(arrays):
        cut = {"W_enc": arrays["W_enc"][:, :128].T, "W_dec": arrays["W_dec"][:128].T}
        return arrays | cut | {key: arrays[key][:128] for key in ("b_enc", "threshold")}

    found, holds = checks(saved(tmp_path, square))
    assert not holds
    assert found["misfit"].holds is False


@pytest.mark.parametrize("l0", ["average_l0_39", "unknown"])
def test_a_dead_sae_is_named_by_its_l0(tmp_path, l0):
    found, _ = checks(saved(tmp_path, lambda a: a | {"threshold": a["threshold"] + 1e4}, l0))
    assert (found["l0"].holds, found["l0"].value) == (False, 0)
    assert found["loss recovered"].value < 0.5
    assert found["loss recovered"].holds is False
    assert found["fvu"].holds is False


def test_on_another_device_all_is_as_on_the_processor():
    """A pretended one, which mixes with no other; a backend of torch cannot be taken back."""
    program = (
        "import json, harness; from benchmarks.pretend_device import NAME, pretend; "
        "found = harness.validate('organism', layers=(3,), device=NAME); "
        "print(json.dumps([found.plain(), pretend.operations]))"
    )
    call = [sys.executable, "-c", program]
    done = subprocess.run(call, capture_output=True, text=True, cwd=ROOT, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    found, operations = json.loads(done.stdout.splitlines()[-1])
    assert found["holds"], found
    assert found["device"] == "pretend"
    assert operations > 10_000


def test_random_saes_are_held_against_nothing():
    found = harness.validate("mock", layers=(1,), device="cpu")
    assert found.holds
    said = [one for one in found.checks if one.name in ("fvu", "misfit", "loss recovered")]
    assert [one.holds for one in said] == [None] * 3
    assert "directions are random" in said[0].found


def test_a_file_says_its_layer(tmp_path):
    target, layers = target_of("organism", str(own()), ())
    assert layers == (LAYER,)
    assert target.entry(LAYER).path == "params.npz"
    shutil.copy(own(), tmp_path / "params.npz")
    with pytest.raises(
        InputError, match=r"--layers: which layers the SAEs of .* is not known; name them"
    ):
        target_of("organism", str(tmp_path / "params.npz"), ())
    _, layers = target_of("organism", str(tmp_path / "params.npz"), (2,))
    assert layers == (2,)


def test_what_is_validated_may_lie_anywhere_and_have_no_saes(tmp_path):
    shutil.copytree(bundled("fixtures", "organism"), tmp_path / "model")
    target, layers = target_of(str(tmp_path / "model"), "", ())
    assert (target.model, layers) == (str(tmp_path / "model"), ())
    target, layers = target_of(str(tmp_path / "model"), str(tmp_path / "model" / "sae"), ())
    assert layers == tuple(range(6))
    with pytest.raises(
        InputError, match="organsim: it is no target, and no folder here; did you mean"
    ):
        target_of("organsim", "", ())
    target, layers = target_of("organism", "", (), bundled("evals", "voices.yaml"))
    assert layers == tuple(range(6))


def test_a_layer_that_is_not_there_is_said():
    with pytest.raises(InputError, match="mock: it has no layer 9; name layers from 0 to 5"):
        harness.validate("mock", layers=(9,), device="cpu")


def test_a_tokenizer_of_other_texts_is_a_check_that_does_not_hold(monkeypatch):
    def refuse(*_):
        raise InputError(dataclasses.replace(fault))

    fault = harness.Fault("prompt", "it contains the special token <bos>", "remove it")
    monkeypatch.setattr(module, "sample_of", refuse)
    found = harness.validate("mock", layers=(1,), device="cpu")
    assert not found.holds
    assert [one.name for one in found.checks] == ["tokens"]
    with pytest.raises(InputError, match="special token"):
        harness.validate("mock", layers=(1,), device="cpu", prompts="data/voices.jsonl")
    assert torch.is_grad_enabled()
