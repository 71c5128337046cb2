"""Faults planted in TopK, normalising, transcoding dictionaries, at every site: each is named for what it is."""

from dataclasses import replace

import pytest
import torch

from harness.models.mlp_norms import mlp_norm
from harness.sae.diagnosis import misfit
from harness.sae.encoding import Sae, decode, encode, with_gain
from harness.sae.trial import Trial, fit_of
from tests.helpers.trained_dictionaries import (
    ACTIVE,
    KINDS,
    LAYER,
    SITES,
    beside,
    dictionary,
    held,
    normed,
    sample,
    small_model,
    train,
)

WIDTH = small_model().width
OFFERED = ("topk", "layer norm", "rescaled", "mlp", "heads", "before", "transcoder", "skipping")


def gain():
    norm = mlp_norm(small_model().parts(LAYER))
    return norm.gain, norm.bias


def told(sae, streams=None, others=beside):
    """What is said of a dictionary, as its causes without the figures."""
    streams = streams or sample(sae.site)
    said = misfit(sae, streams, LAYER, beside=others, gain=gain())
    return () if said is None else tuple(said.split(" (FVU")[0].split("; or "))


def is_named(causes, first, *others):
    """It, or one of a tuple, is what is said first; and nothing else is said besides than the `others`."""
    assert causes, "nothing is said"
    assert causes[0].startswith(first), causes
    firsts = first if isinstance(first, tuple) else (first,)
    assert all(cause.startswith((*firsts, *others)) for cause in causes), causes


def scaled(sae, into, out):
    """A dictionary of inputs `into` times as large, that writes `out` times as much."""
    skip = None if sae.skip is None else sae.skip * into / out
    return replace(
        sae, w_enc=sae.w_enc * into, w_dec=sae.w_dec / out, b_dec=sae.b_dec / out, skip=skip
    )


def to_unit(part):
    return part.shape[1] ** 0.5 / float(part.norm(dim=1).mean())


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_one_is_not_warned_of(kind):
    sae = dictionary(kind)
    assert told(sae) == ()
    assert told(replace(sae, l0=Trial(sae, sample(sae.site)[LAYER]).own.l0)) == ()


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_measured_on_what_it_reconstructs_in_raw_units(kind):
    sae = dictionary(kind)
    there = sample(sae.site)[LAYER]
    aim = there[:, -WIDTH:] if sae.site == "transcoder" else there
    values = encode(sae, there)
    own, wanted = Trial(sae, there).own, fit_of(aim, values, decode(sae, values, there))
    assert (own.fvu, own.fvu_median) == pytest.approx((wanted.fvu, wanted.fvu_median), rel=1e-4)
    assert own.l0 == wanted.l0
    error = (aim - decode(sae, values, there)).square().sum() / (aim - aim.mean(0)).square().sum()
    assert own.fvu == pytest.approx(float(error), rel=1e-3)


@pytest.mark.parametrize("kind", OFFERED)
@pytest.mark.parametrize("published", [True, False])
def test_a_topk_dictionary_that_is_read_without_its_k_is_named(kind, published):
    sae = replace(dictionary(kind), top_k=None, l0=float(ACTIVE) if published else None)
    only = "TopK: only the 8 largest of each position are meant"
    is_named(told(replace(sae, relu=True)), only)
    causes = told(sae)
    assert any(cause.startswith("TopK: only the") for cause in causes)
    # A cut for all features may explain as much: then thresholds may have been lost as well.
    lost = "ReLU instead of JumpReLU"
    is_named(causes, only, lost) if published else is_named(causes, ("TopK: only the", lost))


@pytest.mark.parametrize("kind", OFFERED)
def test_a_k_that_is_not_its_own_is_named(kind):
    """With what its publisher says; and without, where powers of two are tried."""
    sae, meant = dictionary(kind), "TopK: the 8 largest of each position are meant, not"
    is_named(told(replace(sae, top_k=20, l0=8.0)), f"{meant} 20")
    # Beside a skip few features do much of what all do.
    said = "2 features are active at a position" if kind == "skipping" else f"{meant} 2"
    is_named(told(replace(sae, top_k=2, l0=8.0)), said)
    if sae.site != "transcoder":
        is_named(told(replace(sae, top_k=2)), f"{meant} 2")
        is_named(told(replace(sae, top_k=32)), f"{meant} 32")


def test_a_relu_that_is_read_as_topk_is_named():
    """Of many features any number may be active, so that no k is theirs."""
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(64, 64, generator=generator))[0]
    chance = torch.rand(400, 1, generator=generator) / 4
    codes = torch.rand(400, 64, generator=generator) * (
        torch.rand(400, 64, generator=generator) < chance
    )
    zeros = torch.zeros(64)
    sae = Sae(basis.T, zeros - 0.01, basis, zeros, zeros, relu=True)
    streams = {LAYER: codes @ basis}
    assert told(sae, streams, None) == ()
    none = "TopK: it is none, and every feature above its threshold is meant"
    is_named(told(replace(sae, top_k=4, relu=False), streams, None), none, "TopK: the 16")


def test_fewer_active_features_than_k_are_said():
    """Where nothing else is wrong, and whatever its publisher says or does not."""
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(64, 64, generator=generator))[0]
    codes = torch.zeros(200, 64)
    for row in codes:
        row[torch.randperm(64, generator=generator)[:2]] = 1.0
    zeros = torch.zeros(64)
    sae = Sae(basis.T, zeros - 0.001, basis, zeros, zeros, top_k=2)
    streams = {LAYER: codes @ basis}
    assert told(sae, streams, None) == ()
    is_named(told(replace(sae, top_k=8), streams, None), "2 features are active at a position where its publisher says 8")  # fmt: skip
    assert told(replace(sae, top_k=8, l0=2.0), streams, None) == ()


FORGOTTEN = {"layer norm": "normalised to mean 0 and variance 1", "rescaled": "divided by its root mean square"}  # fmt: skip


@pytest.mark.parametrize("kind", FORGOTTEN)
def test_a_norm_that_is_forgotten_is_named(kind):
    what = "input: it expects each token's stream"
    forgotten = f"{what} {FORGOTTEN[kind]}"
    causes = told(replace(dictionary(kind), norm=None))
    # All of this model's tokens are about as long, so that one factor does what that norm does.
    is_named(causes, (forgotten, "scale: "), f"{what} without its mean")
    (named,) = [cause for cause in causes if cause.startswith(forgotten)]
    assert named.endswith("and it is not")


@pytest.mark.parametrize("norm", ["layer_norm", "constant_norm_rescale"])
@pytest.mark.parametrize("kind", ["topk", "before"])
def test_a_norm_that_it_does_not_expect_is_named(kind, norm):
    causes = told(replace(dictionary(kind), norm=norm))
    as_it_is = f"input: it expects each token's stream as it is, and it is normalised by {norm}"
    assert as_it_is in causes
    is_named(
        causes, (as_it_is, "scale: "), "input: it expects each token's stream without its mean"
    )


@pytest.mark.parametrize("kind", ["topk", "layer norm", "rescaled", "mlp", "transcoder"])
def test_a_decoder_bias_that_is_or_is_not_subtracted_is_named(kind):
    sae = dictionary(kind)
    moved = sae.b_dec @ sae.w_enc
    expects = "decoder bias: this SAE expects it to be subtracted"
    is_named(told(replace(sae, b_enc=sae.b_enc + moved)), expects)
    subtracted = "decoder bias: it is subtracted from the input"
    is_named(told(replace(sae, b_enc=sae.b_enc - moved)), subtracted)


@pytest.mark.parametrize("kind", OFFERED)
def test_a_factor_that_is_missing_is_named(kind):
    """Of an SAE it is the same on both sides, of a transcoder each has its own."""
    sae = dictionary(kind)
    there = sample(sae.site)[LAYER]
    seen = normed(sae.norm, there[:, : sae.width])[0]
    into = 0.2 if sae.norm else 1 / to_unit(seen)
    into = into if into < 0.7 else 0.2
    out = into / 3 if sae.site == "transcoder" else into
    is_named(told(scaled(sae, into, out)), "scale: it expects", "input: it expects")


OTHERS = {
    "decoder: its weights are too large": lambda s: {"w_dec": 3 * s.w_dec},
    "encoder: its weights have the wrong sign": lambda s: {"w_enc": -s.w_enc},
    "encoder bias: it has the wrong sign": lambda s: {"b_enc": -s.b_enc},
    "decoder: its rows are": lambda s: {
        "w_dec": s.w_dec * torch.linspace(-2, 2, s.features).exp()[:, None]
    },
    "order: the decoder's rows": lambda s: {"w_dec": s.w_dec.roll(7, 0)},
}


@pytest.mark.parametrize("said", OTHERS)
@pytest.mark.parametrize("kind", OFFERED)
def test_what_is_planted_in_the_weights_is_named(kind, said):
    sae = dictionary(kind)
    causes = told(replace(sae, **OTHERS[said](sae)))
    if said.startswith("order") and sae.site == "transcoder":
        said = "it does not reconstruct"  # its two sides are not alike
    assert any(cause.startswith(said) for cause in causes), causes
    # Without much of a bias it is the same whether the encoder's or the decoder's weights are too large.
    alike = ("encoder: its weights are too large",) if "too large" in said else ()
    is_named(causes, (said, *alike), "decoder: its rows", "scale: ")


def test_untrained_features_beside_a_skip_are_not_said_to_be_too_large():
    """Without them its skip explains much: that is no merit of a reading which has none active."""
    sae = dictionary("skipping")
    random = torch.randn(sae.w_dec.shape, generator=torch.Generator().manual_seed(1))
    untrained = replace(sae, w_dec=torch.nn.functional.normalize(random, dim=1))
    assert Trial(sae, sample(sae.site)[LAYER]).idle.fvu < 0.8
    is_named(told(untrained), "it does not reconstruct transcoder of this model")
    hardly = replace(sae, w_dec=1e-3 * random)
    is_named(told(hardly), "it does not reconstruct transcoder of this model")


def test_the_norms_weights_are_named_where_they_are_not_expected_or_not_there():
    there = held("transcoder")[LAYER]
    weight, bias = gain()
    assert not bias.any()
    raw = train(there[:, :WIDTH] / weight, there[:, -WIDTH:], top_k=ACTIVE, site="transcoder")
    is_named(told(raw), "gain: it expects the normed stream without the norm's weights")
    assert told(with_gain(replace(raw, without_gain=True), weight)) == ()
    twice = with_gain(replace(dictionary("transcoder"), without_gain=True), weight)
    is_named(told(twice), "gain: it expects what the norm's weights are applied to twice")


PLACED = [
    (kind, site)
    for kind in OFFERED
    for site in SITES
    if site != KINDS[kind][0] and "transcoder" not in (KINDS[kind][0], site)
]


@pytest.mark.parametrize("kind, site", PLACED)
def test_a_dictionary_at_the_wrong_place_is_named(kind, site):
    sae = dictionary(kind)
    right = f"wrong place: it fits {sae.site}, not {site}"
    causes = told(replace(sae, site=site))
    assert right in causes
    # The stream after a block is that before the next.
    is_named(
        causes,
        (right, "wrong layer: ") if {site, sae.site} == {"resid_pre", "resid_post"} else right,
    )


@pytest.mark.parametrize("site", [site for site in SITES if site != "transcoder"])
def test_a_transcoder_that_is_read_as_an_sae_is_named_and_the_reverse(site):
    of_site = next(kind for kind in OFFERED if KINDS[kind][0] == site) if site != "attn_out" else "mlp"  # fmt: skip
    as_sae = told(replace(dictionary("transcoder"), site=site))
    is_named(as_sae, f"wrong place: it fits transcoder, not {site}")
    as_transcoder = told(replace(dictionary(of_site), site="transcoder"))
    is_named(as_transcoder, f"wrong place: it fits {KINDS[of_site][0]}, not transcoder")


@pytest.mark.parametrize("kind, what", [("mlp", "mlp_out"), ("transcoder", "the MLP")])
def test_another_blocks_dictionary_is_named(kind, what):
    sae = dictionary(kind)
    streams = sample(sae.site)
    mixed = {**streams, 1: streams[LAYER], LAYER: streams[1]}
    wrong = f"wrong layer: it fits {what} of block 1, not of block 2"
    is_named(told(sae, mixed, lambda: beside(1)), wrong)


def test_other_places_are_looked_at_only_where_it_fits_ill_there_and_of_its_size():
    asked = []

    def others():
        asked.append(1)
        there = sample("mlp_out")[LAYER]
        return {"attn_z": torch.cat([there, there], 1), "mlp_out": there}

    sae = dictionary("topk")
    assert Trial(sae, sample("resid_post")[LAYER]).own.error < 0.2
    assert told(sae, None, others) == ()
    assert asked == []
    is_named(told(replace(dictionary("mlp"), site="resid_post"), None, others), "wrong place: it fits mlp_out")  # fmt: skip
    assert asked == [1]


def test_positions_whose_output_alone_is_huge_are_named():
    sae = dictionary("transcoder")
    streams = {block: stream.clone() for block, stream in sample("transcoder").items()}
    streams[LAYER][::20, WIDTH:] *= 300
    is_named(told(sae, streams), "positions: 5 of 100 are more than 5 times")


@pytest.mark.parametrize("change", [lambda x: x, lambda x: 3 * x, lambda x: -x, lambda x: x + 1])
def test_of_changed_values_too_only_the_k_largest_are_active(change):
    for kind in ("topk", "layer norm", "transcoder"):
        sae = dictionary(kind)
        trial = Trial(sae, sample(sae.site)[LAYER])
        before = change(trial.before)
        values, _ = trial.decoded(before)
        for row, kept in zip(before.tolist(), values.tolist(), strict=True):
            largest = sorted(range(len(row)), key=lambda f: -row[f])[:ACTIVE]
            wanted = {f for f in largest if row[f] > 0}
            assert {f for f, value in enumerate(kept) if value > 0} == wanted
