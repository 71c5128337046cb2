"""What a run holds in memory at a time."""

import dataclasses
import gc
import json
import re
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from harness.errors import CannotRun
from harness.models.model_files import model_files
from harness.runner.context import How
from harness.runner.resident_saes import ResidentSaes
from harness.runner.resources import acquire, load_or_reuse
from harness.runner.sae_provider import sae_provider
from harness.specs.targets import load_targets
from harness.testing.models import random_sae


def reads_of(budget, asked):
    """Which layers are read, and how many SAEs were in memory at most, where these are asked for."""
    read, living, most = [], [], []

    def load(layer):
        made = random_sae(layer, 32)
        read.append(layer)
        living.append(weakref.ref(made.w_enc))
        gc.collect()
        most.append(sum(weights() is not None for weights in living))
        return made

    saes = ResidentSaes(load, budget)
    for layer in asked:
        assert torch.equal(saes(layer).w_enc, random_sae(layer, 32).w_enc)
    return read, max(most)


def test_saes_stay_as_long_as_they_fit_and_make_room_for_one_another():
    size = sum(part.nbytes for part in vars(random_sae(0, 32)).values() if hasattr(part, "nbytes"))
    turns = [0, 1, 2, 3] * 3
    assert reads_of(4 * size, turns) == ([0, 1, 2, 3], 4)
    # Not even one fits: each is read whenever it is asked for, and one is let go after another is read.
    assert reads_of(0, turns) == (turns, 2)
    assert reads_of(0, [1, 1, 1]) == ([1], 1)
    # With one too few for all, two of three stay, as they are asked for in turn.
    read, most = reads_of(3 * size, turns)
    assert most == 4
    assert len(read) < len(turns) - 3
    assert read[:4] == [0, 1, 2, 3]


def of_width(width, site="resid_post"):
    """What of a model is asked for, where SAEs are read."""
    return SimpleNamespace(device="cpu", held_width=width, site=site)


def test_what_saes_may_take_follows_the_free_memory(monkeypatch):
    read = []
    monkeypatch.setattr("harness.runner.sae_provider.free_memory", lambda _: 4 * 10**9)
    monkeypatch.setattr(
        "harness.runner.sae_provider.load_sae",
        lambda *_, layer, **__: read.append(layer) or random_sae(layer, 640),
    )
    saes = sae_provider(load_targets()["gemma-3-270m"], dict.fromkeys(range(18)), of_width(640))
    for layer in (5, 7, 5, 7):
        saes(layer)
    assert read == [5, 7]


@pytest.mark.parametrize(
    "said", ["CUDA out of memory", "CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"]
)
def test_a_model_that_does_not_fit_is_said_in_a_sentence(monkeypatch, said):
    def full(*_, **__):
        raise RuntimeError(said)

    monkeypatch.setattr("harness.runner.resources.load_model", full)
    files = model_files(load_targets()["organism"])
    with pytest.raises(CannotRun, match=f"memory: it ran out loading .*: {re.escape(said[:20])}"):
        load_or_reuse(files, device="nowhere")


def test_what_the_catalogue_says_of_the_l0_is_known_to_the_sae(monkeypatch):
    """Gemma Scope 2's files are called medium; how many features that means is in the list."""
    target = load_targets()["gemma-3-270m"]
    monkeypatch.setattr("harness.runner.sae_provider.load_sae", lambda *_, **__: random_sae(0, 640))
    sae = sae_provider(target, dict.fromkeys(range(18)), of_width(640))(9)
    assert sae.l0 == target.entry(9).l0 > 0


def test_an_sae_of_a_centred_stream_is_read_as_one(monkeypatch):
    """SAELens' registry says so of GPT-2's first ones; their own files do not."""
    own = random_sae(0, 768)
    monkeypatch.setattr("harness.runner.sae_provider.load_sae", lambda *_, **__: own)
    for name, centred in (("gpt2-small", True), ("pythia-70m", False)):
        sae = sae_provider(load_targets()[name], dict.fromkeys(range(12)), of_width(768))(5)
        assert bool(sae.w_enc.mean(0).abs().max() < 1e-6) is centred
        assert torch.equal(sae.w_dec, own.w_dec)


@pytest.mark.parametrize("place", ["known", "folder", "hub"])
def test_an_sae_of_another_width_is_refused_before_the_model_is_fetched_or_loaded(
    tmp_path, monkeypatch, place
):
    """The file of layer 1 is of another model; headers tell, and a few bytes of configuration."""
    for layer, width in ((0, 128), (1, 64)):
        sae = random_sae(layer, width)
        (tmp_path / f"layer_{layer}").mkdir()
        np.savez(
            tmp_path / f"layer_{layer}" / "params.npz",
            W_enc=sae.w_enc, b_enc=sae.b_enc, W_dec=sae.w_dec, b_dec=sae.b_dec, threshold=sae.threshold,
        )  # fmt: skip
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"text_config": {"hidden_size": 128}}))
    target = dataclasses.replace(
        load_targets()["organism"],
        sae=str(tmp_path),
        files="layer_{layer}/params.npz",
        width=128 if place == "known" else None,
        model="a/model" if place == "hub" else str(tmp_path),
    )
    monkeypatch.setattr("harness.models.model_files.hub.cached", lambda *_: config)
    monkeypatch.setattr("harness.runner.resources.model_files", lambda _: pytest.fail("fetched"))
    how = {"device": "cpu", "how": How(), "mock_if_missing": True, "say": print}
    with pytest.raises(CannotRun, match=r"W_enc has shape \(64, 64\), .* model of width 128"):
        acquire(target, (0, 1), **how)
    with pytest.raises(pytest.fail.Exception, match="fetched"):
        acquire(target, (0,), **how)
