"""Samples of the sites of a model, and what a dictionary is said to be that was loaded for another one."""

from dataclasses import replace

import pytest
import torch

from harness.models.adaptive_batching import BatchLimit
from harness.models.hooks import capture
from harness.models.language_model import LanguageModel
from harness.models.padded_batch import Tokens, positions_of
from harness.runner import site_samples
from harness.runner.context import RunContext
from harness.runner.grouping import SMALL
from harness.runner.site_samples import SiteSamples, cut_sample
from harness.runner.stages.survey import _losses_and_warning
from harness.sae.encoding import with_gain
from harness.testing.models import ARCHITECTURES, random_model
from tests.helpers.trained_dictionaries import LAYER, SITES, dictionary, small_model, texts, train

TEXTS = ("A ball is thrown straight up. At the top its velocity is", "It is", "Its slope is zero")


def samples_of(model, texts=TEXTS, sae=None, together=2):
    context = RunContext("r", "stand-in", model, lambda _: sae, BatchLimit(together))
    return SiteSamples(context, [model.tokens(text) for text in texts])


@pytest.mark.parametrize("most", [5, 1000])
def test_they_are_spread_over_all_positions_but_bos(monkeypatch, most):
    monkeypatch.setattr(site_samples, "TRIED", most)
    model = small_model()
    for site, found in samples_of(model).beside(LAYER).items():
        whole = []
        for text in sorted(TEXTS, key=len, reverse=True):
            batch, seen = model.batch([model.tokens(text)]), {}
            model.at(site).forward(batch, capture([LAYER], seen, positions_of(batch, "prompt")))
            whole.append(seen[LAYER])
        whole = torch.cat(whole)
        step = max(1, len(whole) // most)
        assert len(found) == min(most, len(whole[::step]))
        # Rows are taken by length, in an order of their own.
        near = torch.cdist(found.double(), whole.double()).min(1)
        assert float(near.values.max()) < 1e-4
        assert len({*near.indices.tolist()}) == len(found)


def test_one_forward_has_all_sites_and_is_what_losses_are_replayed_from(monkeypatch):
    model = small_model()
    forward, seen = model.cached_forward, []
    monkeypatch.setattr(
        model, "cached_forward", lambda *given: (seen.append(len(given[0])), forward(*given))[1]
    )
    samples = samples_of(model)
    for _ in range(2):
        assert {*samples.beside(1), *samples.beside(2)} == {*SITES}
        assert sum(forward.tokens for forward in samples.forwards) == len(
            samples.beside(1)["resid_post"]
        )
    assert seen == [2, 1]  # two batches
    assert model.taps_left == 0


def test_of_rows_of_bos_alone_nothing_is_said():
    model = small_model()
    context = RunContext("r", "stand-in", model, lambda _: None, BatchLimit(2))
    samples = SiteSamples(context, [Tokens((model.bos,))] * 2)
    assert samples.misfit(dictionary("topk"), LAYER, 0.5) is None


def test_sites_that_a_model_has_not_are_left_out():
    model = random_model(3, architecture="llama")
    for block in model.blocks:
        block.multilayer = block._modules.pop("mlp")
    assert {"mlp_out", "transcoder"}.isdisjoint(samples_of(model)._sites())
    assert "resid_pre" in samples_of(model)._sites()


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("block", [0, 2])
def test_the_loss_of_a_forward_is_to_the_bit_that_of_its_replays(site, block):
    """So it is taken once for all layers, and an SAE that changes nothing loses nothing at all."""
    for dtype in (torch.float32, torch.bfloat16):
        model = random_model(3, layers=3, dtype=dtype).at(site)
        for forward in samples_of(model).forwards:
            assert float(forward.replayed(block, forward.held(block))) == float(forward.loss)


def without_stream(forward, block):
    """What a site holds of a forward, 0 at all that is edited."""
    return forward.held(block) * ~forward.edited[..., None]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("bos", ["always", "never"])
@pytest.mark.parametrize("site", ["resid_post", "resid_pre", "mlp_out"])
def test_without_their_stream_rows_that_begin_alike_are_as_the_longest_of_them(
    architecture, bos, site
):
    plain = random_model(3, architecture=architecture)
    model = LanguageModel(plain.network, plain.tokenizer, bos=bos).at(site)
    replay, rows = model.replay, []
    model.replay = lambda *given: (rows.append(len(given[1].row)), replay(*given))[1]
    (forward,) = samples_of(model, (*TEXTS, "It was up"), together=4).forwards
    held = forward.held(1) * ~forward.edited[..., None]
    wanted = float(forward.replayed(1, held))
    assert float(forward.zeroed(1, held)) == pytest.approx(wanted, rel=1e-5)
    alike = 4 if site == "mlp_out" else 1 if bos == "always" else 3
    assert rows == [4, alike]


def rows_of(*lengths):
    return [Tokens((2, *range(10 * i, 10 * i + n))) for i, n in enumerate(lengths)]


@pytest.mark.parametrize(
    ("lengths", "wanted"),
    [
        ((200,) * 8, [32] * 4),
        ((200, 30, 200, 200), [32, 30, 32, 32]),
        ((9,) * 40, [9] * 14),
        ((500,), [128]),
        ((100, 20), [100, 20]),
        ((200, 20), [64, 20]),
    ],
)
def test_a_large_model_is_sampled_at_the_first_tokens_of_rows_spread_over_all(lengths, wanted):
    rows = rows_of(*lengths)
    found = cut_sample(rows, SMALL + 1)
    assert [len(row.prompt) - 1 for row in found] == wanted
    assert sum(wanted) <= site_samples.TRIED
    where = [
        next(i for i, row in enumerate(rows) if row.prompt[: len(one)] == one.prompt)
        for one in found
    ]
    assert where == sorted({*where})
    assert where[0] == 0
    assert where[-1] >= len(rows) - -(-len(rows) // len(found))
    assert cut_sample(rows, SMALL) is rows


def warning(model, sae):
    context = RunContext("r", "stand-in", model, lambda _: sae, BatchLimit(16))
    samples = SiteSamples(context, [model.tokens(text) for text in texts()])
    return _losses_and_warning(context, LAYER, samples, unmarked=False)["warning"]


def test_a_survey_names_the_place_and_the_gain():
    model = small_model()
    mlp = dictionary("mlp")
    wrong = replace(mlp, site="resid_post")
    assert "wrong place: it fits mlp_out, not resid_post" in warning(model, wrong)
    assert "wrong place" not in (warning(model.at("mlp_out"), mlp) or "")
    transcoder = model.at("transcoder")
    assert "gain" not in (warning(transcoder, dictionary("transcoder")) or "")
    weight = 1 + model.parts(LAYER).module("pre_feedforward_layernorm").weight
    twice = with_gain(replace(dictionary("transcoder"), without_gain=True), weight)
    assert "gain: it expects what the norm's weights" in warning(transcoder, twice)


def test_where_no_norm_is_before_the_mlp_there_is_no_gain():
    model = random_model(3, architecture="olmo2").at("transcoder")
    samples = samples_of(model)
    held = samples.beside(1)["transcoder"]
    sae = train(held[:, :32], held[:, 32:], top_k=4, steps=3, site="transcoder")
    assert samples.misfit(sae, 1, float("nan")) is None or "gain" not in samples.misfit(sae, 1, 0.0)
