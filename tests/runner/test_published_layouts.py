"""A whole run on dictionaries of other libraries is that of the JumpReLU that they are."""

import hashlib
import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from harness.runner.context import How
from harness.runner.run import run_eval
from harness.specs.spec_file import load
from harness.testing.models import random_model, random_sae, tokenizer
from tests.helpers.runs import quiet
from tests.helpers.specs import family_lines
from tests.helpers.store import query

WIDTH, CUT, NORM = 32, 0.25, 9.0
SPEC = """
name: other
question: Are dictionaries of other libraries read as what they are?
prompts: prompts.jsonl
new_tokens: 2
targets:
  folded: {model: model, sae: folded, layers: [1, 2], stand_in: true}
  batch: {model: model, sae: batch, layers: [1, 2], files: "resid_post_layer_{layer}/*/ae.pt", stand_in: true}
  scope: {model: model, sae: scope, layers: [1, 2], stand_in: true}
readout: {at: last_prompt_token}
split: {by: family, discovery: 0.5, seed: 1}
ablations:
  - {name: top, select: {top: 3, by: contrast}, controls: 19}
claims:
  - {name: matters, ablation: top, direction: toward-correct}
"""


def write_layer(folder, layer):
    """The same SAE as GemmaScope, dictionary_learning and OpenMOSS store it."""
    sae = random_sae(layer, WIDTH, 64)
    arrays = {"W_enc": sae.w_enc, "b_enc": sae.b_enc, "W_dec": sae.w_dec, "b_dec": sae.b_dec}
    arrays["threshold"] = torch.full_like(sae.b_enc, CUT)
    at = folder / "folded" / f"layer_{layer}"
    at.mkdir(parents=True)
    np.savez(at / "params.npz", **{key: value.numpy() for key, value in arrays.items()})
    at = folder / "batch" / f"resid_post_layer_{layer}" / "trainer_0"
    at.mkdir(parents=True)
    # It subtracts b_dec before it encodes, so its bias is larger by what that takes away.
    state = {
        "encoder.weight": sae.w_enc.T.contiguous(),
        "encoder.bias": sae.b_enc + sae.b_dec @ sae.w_enc,
        "decoder.weight": sae.w_dec.T.contiguous(),
        "b_dec": sae.b_dec,
        "k": torch.tensor(8),
        "threshold": torch.tensor(CUT),
    }
    torch.save(state, at / "ae.pt")
    trainer = {"dict_class": "BatchTopKSAE", "layer": layer, "k": 8}
    (at / "config.json").write_text(json.dumps({"trainer": trainer}))
    at = folder / "scope" / f"Base-L{layer}R-2x" / "checkpoints"
    at.mkdir(parents=True)
    factor = math.sqrt(WIDTH) / NORM
    state = {
        "encoder.weight": (sae.w_enc / factor).T.contiguous(),
        "encoder.bias": sae.b_enc,
        "decoder.weight": (sae.w_dec * factor).T.contiguous(),
        "decoder.bias": sae.b_dec * factor,
    }
    save_file(state, at / "final.safetensors")
    config = {"d_model": WIDTH, "d_sae": 64, "hook_point_in": f"blocks.{layer}.hook_resid_post"}
    config |= {"jump_relu_threshold": CUT, "sparsity_include_decoder_norm": False}
    config |= {"dataset_average_activation_norm": {"in": NORM, "out": NORM}}
    (at.parent / "hyperparams.json").write_text(json.dumps(config))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layouts")
    tokenizer().save_pretrained(folder / "model")
    random_model(3, architecture="llama").network.save_pretrained(folder / "model")
    for layer in (1, 2):
        write_layer(folder, layer)
    (folder / "prompts.jsonl").write_text("\n".join(map(json.dumps, family_lines(6))))
    (folder / "other.yaml").write_text(SPEC)
    spec, how = load(folder / "other.yaml"), How(device="cpu")
    return folder, {
        name: run_eval(spec, name, db=folder / f"{name}.duckdb", how=how, progress=quiet)
        for name in ("folded", "batch", "scope")
    }


@pytest.mark.parametrize("name", ["batch", "scope"])
def test_activations_and_impacts_are_those_of_the_folded_weights(runs, name):
    _, outcomes = runs
    keys = "prompt_id, layer, readout, feature"
    asked = f"SELECT {keys}, value FROM activations ORDER BY {keys}"
    mine, theirs = (query(outcomes[one].db, asked) for one in (name, "folded"))
    assert len(mine) > 100
    assert [row[:-1] for row in mine] == [row[:-1] for row in theirs]
    assert [row[-1] for row in mine] == pytest.approx([row[-1] for row in theirs], abs=1e-4)
    mine, theirs = (outcomes[one].verdicts[0] for one in (name, "folded"))
    assert mine.verdict == theirs.verdict
    assert mine.estimate == pytest.approx(theirs.estimate, abs=1e-4)
    assert theirs.estimate


def test_the_hash_of_a_run_is_of_the_file_as_it_is(runs):
    folder, outcomes = runs
    path = "batch/resid_post_layer_{}/trainer_0/ae.pt"
    wanted = [
        hashlib.sha256((folder / path.format(layer)).read_bytes()).hexdigest() for layer in (1, 2)
    ]
    ((hashes, files),) = query(outcomes["batch"].db, "SELECT sae_hashes, sae_files FROM runs")
    assert hashes == wanted
    assert all(file.endswith("ae.pt") for file in files)
