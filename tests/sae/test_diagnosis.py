"""Faults planted in SAEs of three models: each is named for what it is, and nothing that is sound."""

import dataclasses
import json
from functools import cache

import pytest
import torch
from safetensors.torch import save_file

from fixtures.training.saes import SaeRecipe, train_sae
from harness.models.hooks import capture
from harness.models.loading import load_model
from harness.models.model_files import ModelFiles
from harness.models.padded_batch import positions_of
from harness.models.sae_files import sae_file
from harness.paths import bundled
from harness.sae import trial, tried_places
from harness.sae.diagnosis import misfit
from harness.sae.encoding import Sae, encode
from harness.sae.readings import order
from harness.sae.trial import Trial, fit_of, fits_apart
from harness.sae.weights import load_sae
from harness.specs.targets import load_targets
from harness.testing.models import random_model, random_sae

RECIPE = SaeRecipe(features=128, active=8, steps=250, batch=256, nested=(), revive_after=50)
SAMPLE = 100  # positions
MODELS = ("organism", "plain", "huge")


@cache
def whole(name):
    """Every block's stream of a small random model at some thousand positions."""
    model = random_model(3, architecture="gemma3" if name == "huge" else "gemma2")
    if name == "huge":
        model.network.model.embed_tokens.weight.data[:, [5, 17]] *= 40
    return streams_of(model, "kinematics", 60)


@cache
def case(name):
    """A sample of every block's stream, a layer, its SAE, and that of the layer below.

    `plain` and `huge` are small random models; `huge` has two dimensions of a thousand times the
    others' variance, and SAEs of the stream as it is: they are about little else.
    """
    if name == "organism":
        model = load_model(ModelFiles(bundled("fixtures", "organism"), "organism"))
        streams, layer = streams_of(model, "voices", 6), 3
        own, below = (load_sae(sae_file(load_targets()[name], i), width=128) for i in (3, 2))
    else:
        streams, layer = whole(name), 2
        own, below = (trained(streams[i], name != "huge") for i in (2, 1))
        own = dataclasses.replace(own, l0=float(RECIPE.active))
    return {block: stream[-SAMPLE:] for block, stream in streams.items()}, layer, own, below


def trained(stream, standardised=True):
    recipe = dataclasses.replace(RECIPE, standardised=standardised)
    return train_sae(stream, torch.ones(len(stream), dtype=torch.bool), recipe)


def streams_of(model, prompts, texts):
    """The stream after every block at every token but BOS of some prompts."""
    lines = bundled("data", f"{prompts}.jsonl").read_text(encoding="utf-8").splitlines()[:texts]
    batch = model.batch([model.tokens(json.loads(line)["prompt"]) for line in lines])
    streams = {}
    model.forward(batch, capture(range(model.depth), streams, positions_of(batch, "prompt")))
    return streams


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def strongest(sae, stream, share):
    """The features that fire most, that share of all."""
    fires = (encode(sae, stream) > 0).sum(0)
    kept = sae.only(fires.topk(int(share * sae.features)).indices)
    return dataclasses.replace(kept, l0=Trial(kept, stream).own.l0)


def to_unit(sae, stream):
    """The factor that brings the stream to a mean norm of the square root of the width."""
    return stream.shape[1] ** 0.5 / float(stream.norm(dim=1).mean())


def scaled(sae, factor):
    """An SAE of the stream times the inverse of `factor`."""
    return {"w_enc": sae.w_enc * factor, "w_dec": sae.w_dec / factor, "b_dec": sae.b_dec / factor}


def undone(sae, sizes):
    """Features in other units, whose decoder rows were then made as long as before."""
    units = (0.7 * sizes).exp()
    return {name: getattr(sae, name) / units for name in ("w_enc", "b_enc", "threshold")}


NONE, BIAS, SCALE = None, "decoder bias: ", "scale: it expects a stream"
# What is planted: the fields that change, given the SAE and its stream; what is said of it; and what is
# said of it in some models instead.
FAULTS = {
    "sound": (lambda s, x: {}, NONE, {}),
    "half precision": (lambda s, x: {"w_enc": s.w_enc.half().float(), "w_dec": s.w_dec.half().float()}, NONE, {}),
    "bfloat16": (lambda s, x: {"w_enc": s.w_enc.bfloat16().float(), "threshold": s.threshold.bfloat16().float()}, NONE, {}),
    "decoder x 3": (lambda s, x: {"w_dec": 3 * s.w_dec}, "decoder: its weights are too large, by a factor of 3", {}),
    "decoder / 3": (lambda s, x: {"w_dec": s.w_dec / 3}, "decoder: its weights are too small, by a factor of", {}),
    "decoder negative": (lambda s, x: {"w_dec": -s.w_dec}, "of the wrong sign", {}),
    "rows rescaled": (lambda s, x: {"w_dec": s.w_dec * normal(s.features, 1).exp()}, "decoder: its rows are", {}),
    "rows normalised alone": (lambda s, x: undone(s, normal(s.features)), "decoder: its rows have lost their lengths", {"plain": "decoder: its weights are too large"}),
    "decoder permuted": (lambda s, x: {"w_dec": s.w_dec.roll(7, 0)}, "order: the decoder's rows", {}),
    "decoder bias lost": (lambda s, x: {"b_dec": 0 * s.b_dec}, f"{BIAS}it is all 0", {"plain": NONE}),
    "decoder bias expected": (lambda s, x: {"b_enc": s.b_enc + s.b_dec @ s.w_enc}, f"{BIAS}this SAE expects", {}),
    "decoder bias subtracted": (lambda s, x: {"b_enc": s.b_enc - s.b_dec @ s.w_enc}, f"{BIAS}it is subtracted", {}),
    "encoder bias lost": (lambda s, x: {"b_enc": 0 * s.b_enc}, "encoder bias: it is all 0", {}),
    "encoder bias negative": (lambda s, x: {"b_enc": -s.b_enc}, "encoder bias: it has the wrong sign", {}),
    "encoder x 3": (lambda s, x: {"w_enc": 3 * s.w_enc}, "encoder: its weights are too large", {}),
    "encoder negative": (lambda s, x: {"w_enc": -s.w_enc}, "encoder: its weights have the wrong sign", {}),
    "norm factor missing": (lambda s, x: scaled(s, 1 / to_unit(s, x)), SCALE, {}),
    "norm factor twice": (lambda s, x: scaled(s, to_unit(s, x)), SCALE, {}),
    "thresholds lost": (lambda s, x: {"threshold": 0 * s.threshold}, "ReLU instead of JumpReLU", {}),
    "thresholds / 10": (lambda s, x: {"threshold": s.threshold / 10}, "thresholds: they are too low", {}),
    "thresholds x 3": (lambda s, x: {"threshold": 3 * s.threshold}, "thresholds: they are too high", {}),
    "dead": (lambda s, x: {"threshold": 1e4 * s.threshold, "l0": None}, "none of its features is active", {}),
    "encoder untrained": (lambda s, x: {"w_enc": normal(*s.w_enc.shape) * s.w_enc.norm(dim=0) / s.width**0.5}, "for no reason that is known", {}),
    "decoder untrained": (lambda s, x: {"w_dec": torch.nn.functional.normalize(normal(*s.w_dec.shape), dim=1)}, "for no reason that is known", {}),
}  # fmt: skip


CASES = [(fault, model, True) for fault in FAULTS for model in MODELS] + [
    (fault, "huge", False) for fault in FAULTS
]


@pytest.mark.parametrize("fault, model, published", CASES)
def test_what_is_planted_is_named(fault, model, published):
    """Whether or not the publisher says how many features are active."""
    streams, layer, sae, _ = case(model)
    sae = sae if published else dataclasses.replace(sae, l0=None)
    plant, said, instead = FAULTS[fault]
    told = misfit(dataclasses.replace(sae, **plant(sae, streams[layer])), streams, layer)
    said = instead.get(model, said)
    assert (told is None) if said is None else said in (told or ""), told


@pytest.mark.parametrize("model", MODELS)
def test_of_a_large_one_a_few_positions_say_what_is_worth_a_look_at_all(monkeypatch, model):
    """What is said is word for word the same."""
    streams, layer, sae, _ = case(model)
    for fault, (plant, *_) in FAULTS.items():
        planted = dataclasses.replace(sae, **plant(sae, streams[layer]))
        monkeypatch.setattr(tried_places, "LARGE", torch.inf)
        told = misfit(planted, streams, layer)
        monkeypatch.setattr(tried_places, "LARGE", 0)
        assert misfit(planted, streams, layer) == told, fault


def test_all_positions_of_a_large_one_that_fits_are_read_as_it_is_alone(monkeypatch):
    streams, layer, sae, _ = case("organism")
    decoded, seen = Trial.decoded, []
    monkeypatch.setattr(
        Trial, "decoded", lambda *given: (seen.append(len(given[1])), decoded(*given))[1]
    )
    monkeypatch.setattr(tried_places, "LARGE", 0)
    assert misfit(sae, streams, layer) is None
    few = len(range(0, SAMPLE, SAMPLE // tried_places.FEW))
    assert seen.count(SAMPLE) == 1
    assert seen.count(few * (len(streams) - 1)) == 1  # all other layers together
    assert seen.count(few) == len(seen) - 2 > 10


@pytest.mark.parametrize("together", [1, 250 * 1024, 2**24])
def test_samples_that_are_read_together_fit_as_each_by_itself(monkeypatch, together):
    monkeypatch.setattr(trial, "TOGETHER", together)
    streams, _, sae, _ = case("organism")
    samples = [stream[: 90 + i] for i, stream in streams.items()]
    apart = [Trial(sae, sample).own for sample in samples]
    for found, wanted in zip(fits_apart(sae, samples), apart, strict=True):
        assert dataclasses.astuple(found) == pytest.approx(dataclasses.astuple(wanted), rel=1e-4)
    assert len({fit.fvu for fit in apart}) == len(streams)


@pytest.mark.parametrize("model, named", [("organism", True), ("plain", True), ("huge", False)])
def test_another_layers_sae_is_named_where_it_matters(model, named):
    """In the huge dimensions, which are all that its SAEs are about, the layers do not differ."""
    streams, layer, _, below = case(model)
    told = misfit(below, streams, layer)
    wanted = f"wrong layer: it fits the output of block {layer - 1}, not of block {layer}"
    assert wanted in (told or "") if named else told is None
    assert misfit(below, streams, layer - 1) is None


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("share", [0.3, 0.15])
def test_a_weak_dictionary_is_no_fault(model, share):
    streams, layer, sae, _ = case(model)
    weak = strongest(sae, streams[layer], share)
    assert Trial(weak, streams[layer]).own.error > Trial(sae, streams[layer]).own.error
    assert misfit(weak, streams, layer) is None
    assert misfit(dataclasses.replace(weak, l0=None), streams, layer) is None


def test_the_median_dimension_alone_condemns_no_dictionary():
    streams, layer, sae, _ = case("huge")
    own = Trial(sae, streams[layer]).own
    assert own.fvu < 0.1
    assert own.fvu_median > 1


@pytest.mark.parametrize("model", MODELS)
def test_what_recovers_the_loss_is_not_said_to_reconstruct_nothing(model):
    streams, layer, sae, _ = case(model)
    plant, said, _ = FAULTS["decoder untrained"]
    broken = dataclasses.replace(sae, **plant(sae, streams[layer]))
    assert said in misfit(broken, streams, layer, recovered=0.5)
    assert misfit(broken, streams, layer, recovered=0.95) is None


def test_any_stream_passes_through_very_many_features_whatever_they_are():
    streams, layer, *_ = case("organism")
    told = misfit(random_sae(1, 128, 512), streams, layer, recovered=0.95)
    assert "for no reason that is known" in told


def test_a_missing_factor_is_told_from_a_norm_of_each_token():
    """The organism's tokens differ in norm: dividing by each one's own is not like one factor."""
    streams, layer, sae, _ = case("organism")
    plant, *_ = FAULTS["norm factor missing"]
    told = misfit(dataclasses.replace(sae, **plant(sae, streams[layer])), streams, layer)
    assert told.startswith("scale: ")
    assert "; or " not in told


def test_an_sae_of_normalised_tokens_is_named():
    stream = whole("plain")[2]
    mean, spread = stream.mean(1, keepdim=True), stream.std(1, keepdim=True)
    told = misfit(trained((stream - mean) / spread), {0: stream[-SAMPLE:]}, 0)
    assert "normalised to mean 0 and variance 1 (layer_norm)" in told


@pytest.mark.parametrize("model", MODELS)
def test_positions_as_huge_as_bos_are_named(model):
    streams, layer, sae, _ = case(model)
    with_bos = {block: stream.clone() for block, stream in streams.items()}
    for stream in with_bos.values():
        stream[::20] = (
            80 * stream[0].norm() * torch.nn.functional.normalize(normal(sae.width), dim=0)
        )
    assert "positions: 5 of 100 are more than 5 times" in misfit(sae, with_bos, layer)


@pytest.mark.parametrize("which", ["w_enc", "w_dec"])
def test_a_square_matrix_may_be_transposed(which):
    streams, layer, sae, _ = case("plain")
    square = strongest(sae, streams[layer], sae.width / sae.features)
    turned = dataclasses.replace(square, **{which: getattr(square, which).T})
    assert f"{'en' if which == 'w_enc' else 'de'}coder: it is transposed" in misfit(
        turned, streams, layer
    )


def test_far_more_features_than_published_are_said_where_nothing_explains_them():
    streams, layer, sae, _ = case("organism")
    told = misfit(dataclasses.replace(sae, l0=10.0), streams, layer)
    assert "features are active at a position where its publisher says 10" in told
    assert misfit(dataclasses.replace(sae, l0=30.0), streams, layer) is None


@pytest.mark.parametrize("model", MODELS)
def test_a_handful_of_positions_tells_nothing(model):
    streams, layer, sae, _ = case(model)
    for start in range(0, SAMPLE - 6, 6):
        few = {block: stream[start : start + 6] for block, stream in streams.items()}
        assert misfit(dataclasses.replace(sae, l0=None), few, layer) is None


def test_a_dimension_that_never_varies_is_left_out():
    stream = torch.randn(50, 4)
    stream[:, 0] = 3.0
    values = torch.ones(50, 2)
    assert fit_of(stream, values, stream).fvus == (0, 0)
    constant = fit_of(stream, values, stream.mean(0).expand(50, 4))
    assert constant.fvus == pytest.approx((1, 1))
    assert constant.costs == pytest.approx((4, 4))  # two of four dimensions are taken
    assert fit_of(torch.ones(5, 2), torch.zeros(5, 2), torch.zeros(5, 2)).error == 0


def test_an_sae_that_was_trained_without_thresholds_is_left_alone():
    """Its small values carry their share: the stream is made of them."""
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(16, 16, generator=generator))[0]
    stream = torch.rand(400, 16, generator=generator) @ basis
    relu = Sae(basis.T, torch.zeros(16), basis, torch.zeros(16), torch.zeros(16))
    assert misfit(relu, {0: stream}, 0) is None


def test_where_nothing_fits_no_layer_is_said_to():
    """A random dictionary may be less hopeless on another block: that is no fit."""
    generator = torch.Generator().manual_seed(0)
    streams = {0: 0.01 * torch.randn(200, 16, generator=generator)}
    streams[1] = 1_000 * streams[0]
    far = random_sae(1, 16, 64)
    own, other = (Trial(far, stream).own.fvu_median for stream in streams.values())
    assert 1 < other < own / 2
    assert "does not reconstruct this stream" in misfit(far, streams, 0)


def test_a_relu_by_design_is_not_told_to_have_thresholds():
    streams, layer, sae, _ = case("plain")
    open_ = dataclasses.replace(sae, threshold=0 * sae.threshold)
    assert "ReLU instead of JumpReLU" in misfit(open_, streams, layer)
    told = misfit(dataclasses.replace(open_, relu=True), streams, layer)
    assert "ReLU instead" not in (told or "")


@pytest.mark.parametrize("factor", [1 / 8, 8])
def test_a_threshold_in_the_units_of_the_raw_stream_is_named(tmp_path, factor):
    """OpenMOSS' thresholds are of values; where a file's are of s times as much, the factor is s."""
    streams, layer, sae, _ = case("plain")
    norm = streams[layer].shape[1] ** 0.5 / factor
    config = {
        "d_model": 32,
        "hook_point_in": f"blocks.{layer}.hook_resid_post",
        "dataset_average_activation_norm": {"in": norm},
        "sparsity_include_decoder_norm": False,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    said = []
    for units in (1, factor):
        arrays = {
            "encoder.weight": sae.w_enc.T / factor,
            "encoder.bias": sae.b_enc,
            "decoder.weight": sae.w_dec.T * factor,
            "decoder.bias": sae.b_dec * factor,
            "log_jumprelu_threshold": (sae.threshold / units).clamp(min=1e-30).log(),
        }
        path = tmp_path / "sae_weights.safetensors"
        save_file({key: value.contiguous() for key, value in arrays.items()}, path)
        read = dataclasses.replace(load_sae(path, width=32, layer=layer), l0=sae.l0)
        said.append(misfit(read, streams, layer))
    assert said[0] is None
    amount = "low" if factor > 1 else "high"
    assert f"thresholds: they are too {amount}, by a factor of" in said[1]


def test_the_search_for_another_order_ends_where_the_rows_are_in_order():
    sae = random_sae(1, 128, 512)
    held = 3 * torch.randn(40, 128, generator=torch.Generator().manual_seed(2))
    assert [*order(Trial(sae, held))] == []
    moved = dataclasses.replace(sae, w_dec=sae.w_dec.roll(1, 0))
    (found,) = order(Trial(moved, held))
    assert found.fit.fvu < 1.05 * Trial(sae, held).own.fvu
