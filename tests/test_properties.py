"""What must hold whatever is drawn: for both mocks, and for small random Gemma 2 and Gemma 3."""

import dataclasses
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.analysis.feature_tests import analyse
from harness.analysis.pairs import behaviours, pair_activations
from harness.analysis.verdicts import verdicts
from harness.interventions.edits import Edit, apply, directions, gain_and_shift
from harness.interventions.layer_edits import make_layer_edits
from harness.models.adaptive_batching import BatchLimit
from harness.models.language_model import LanguageModel
from harness.models.padded_batch import positions_of
from harness.runner.context import RunContext
from harness.runner.pipeline import group_units
from harness.runner.stages.ablate import intervene, prepare_edits
from harness.runner.stages.observe import observe
from harness.runner.stages.survey import survey
from harness.sae.jumprelu import Sae, encode
from harness.sae.mock import jumprelu, orthogonal
from harness.specs.claims import BehaviourClaim
from harness.specs.intervention import Intervention
from harness.specs.plan import make_plan
from harness.specs.prompt import LABELS, Prompt
from harness.specs.spec import Readout
from harness.specs.targets import load_targets
from harness.store.tables.observations import Activations, Answers
from harness.testing.models import ARCHITECTURES, random_model, tokenizer
from harness.testing.strategies import (
    cases,
    feature_sets,
    mock_saes,
    padding_sides,
    positions,
    rows,
)
from tests.test_run import a_plan

ORTHONORMAL = mock_saes(["orthogonal"])
OVERLAPPING = mock_saes(["jumprelu"])
KINDS = ("zero", "clamp", "scale", "steer")
LAYERS = (1, 2)
seeds = st.integers(0, 10**6)
few = settings(max_examples=20, deadline=None)


def everywhere(x):
    return torch.ones(x.shape[:2], dtype=torch.bool)


def edited(sae, x, kind="zero", value=None):
    return apply(Edit(sae, *gain_and_shift(kind, value)), x, everywhere(x))


# The SAEs by themselves.


@given(seeds.map(lambda seed: jumprelu(8, 16, seed)), seeds)
def test_the_overlapping_mock_is_its_definition_in_float64(sae, seed):
    """Feature by feature: f, the reconstruction's error that stays, and every kind of edit."""
    x = 3 * torch.randn(8, generator=torch.Generator().manual_seed(seed))
    value = 1.5
    moved = {kind: x.double() for kind in KINDS}
    for i in range(16):
        before = x.double() @ sae.w_enc[:, i].double() + sae.b_enc[i].double()
        threshold = sae.threshold[i].double()
        assume(abs(before - threshold) > 1e-4)
        f = before if before > threshold else 0.0 * before
        assert encode(sae, x)[i].double() == pytest.approx(float(f), abs=1e-4)
        wanted = {"zero": 0.0, "clamp": value, "scale": value * f, "steer": f + value}
        for kind, v in wanted.items():
            moved[kind] = moved[kind] + (v - f) * sae.w_dec[i].double()
    for kind, wanted in moved.items():
        found = edited(sae, x[None, None], kind, value)[0, 0]
        assert torch.allclose(found.double(), wanted, atol=1e-4)


@given(st.lists(st.floats(2.0**-10, 2.0**10, width=32), min_size=1, max_size=6))
def test_a_feature_is_on_strictly_above_its_threshold(thresholds):
    threshold = torch.tensor(thresholds)
    n, zeros = len(threshold), torch.zeros(len(threshold))
    sae = Sae(torch.eye(n), zeros, torch.eye(n), zeros, threshold)
    above = torch.nextafter(threshold, torch.tensor(torch.inf))
    below = torch.nextafter(threshold, torch.tensor(-torch.inf))
    assert torch.equal(encode(sae, threshold), zeros)
    assert torch.equal(encode(sae, below), zeros)
    assert torch.equal(encode(sae, above), above)


@given(cases(mock_saes()))
def test_a_threshold_moved_by_one_float_decides(case):
    """Thresholds put exactly at what the encoder computes, and one float below it."""
    sae, x, _ = case
    x = x[0, 0]
    before = encode(dataclasses.replace(sae, threshold=torch.full_like(sae.b_enc, -torch.inf)), x)
    at = dataclasses.replace(sae, threshold=before)
    under = dataclasses.replace(sae, threshold=torch.nextafter(before, before - 1))
    assert torch.equal(encode(at, x), torch.zeros_like(before))
    assert torch.equal(encode(under, x), before)


@given(cases(ORTHONORMAL))
def test_removing_orthonormal_features_moves_the_stream_by_their_values(case):
    sae, x, features = case
    assert torch.allclose(sae.w_dec @ sae.w_dec.T, torch.eye(sae.features), atol=1e-5)
    moved = x - edited(sae.only(features), x)
    values = encode(sae, x)[..., features]
    assert torch.allclose(moved.norm(dim=-1), values.norm(dim=-1), atol=1e-4)
    assert torch.allclose(moved @ sae.w_enc[:, features], values, atol=1e-4)


@given(cases(ORTHONORMAL))
def test_zeroing_orthonormal_features_twice_is_zeroing_once(case):
    """Nothing is left of them but float32's rounding, and the other features keep their values."""
    sae, x, features = case
    part = sae.only(features)
    once = edited(part, x)
    others = torch.ones(sae.features, dtype=torch.bool)
    others[features] = False
    assert encode(part, once).max() < 1e-5
    assert torch.allclose(encode(sae, once)[..., others], encode(sae, x)[..., others], atol=1e-5)
    assert torch.allclose(edited(part, once), once, atol=1e-5)


@given(cases(OVERLAPPING))
def test_zeroing_overlapping_features_leaves_what_they_read_of_each_other(case):
    """Zeroing is not idempotent in general, as `test_zeroing_twice_may_be_more` shows.

    Read again, a feature is JumpReLU(pre - f W_dec W_enc); where all of a set are then silent, zeroing
    once more changes no bit.
    """
    sae, x, features = case
    part = sae.only(features)
    once = edited(part, x)
    w_enc, w_dec = part.w_enc.double(), part.w_dec.double()
    left = x.double() @ w_enc + part.b_enc.double() - encode(part, x).double() @ w_dec @ w_enc
    found = encode(part, once)
    clear = (left - part.threshold).abs() > 1e-3
    wanted = left.where(left > part.threshold, 0)
    assert torch.allclose(found[clear].double(), wanted[clear], atol=1e-3)
    silent = (found == 0).all(-1)
    assert torch.equal(edited(part, once)[silent], once[silent])


def test_zeroing_twice_may_be_more():
    sae = jumprelu(8, 32, 0)
    x = 3 * torch.randn(1, 4, 8, generator=torch.Generator().manual_seed(0))
    once = edited(sae, x)
    assert (edited(sae, once) - once).abs().max() > 1


@given(cases(mock_saes()))
def test_projecting_directions_out_twice_is_projecting_them_out_once(case):
    sae, x, features = case
    span = directions(sae.only(features))
    once = edited(span, x, "direction")
    assert encode(span, once).abs().max() < 1e-4
    assert torch.allclose(edited(span, once, "direction"), once, atol=1e-4)


@given(cases(mock_saes()), st.sampled_from(KINDS), st.data())
def test_a_sets_delta_is_the_sum_of_its_parts_in_any_order(case, kind, data):
    sae, x, features = case

    def delta(some):
        return edited(sae.only(some), x, kind, 2.5) - x if len(some) else torch.zeros_like(x)

    whole = delta(features)
    cut = data.draw(st.integers(0, len(features)))
    shuffled = torch.tensor(data.draw(st.permutations(features.tolist())))
    assert torch.allclose(delta(features[:cut]) + delta(features[cut:]), whole, atol=1e-4)
    assert torch.allclose(delta(shuffled), whole, atol=1e-4)
    assert torch.allclose(sum(delta(one) for one in features[:, None]), whole, atol=1e-4)


@given(cases(ORTHONORMAL), st.data())
def test_orthonormal_sets_that_are_disjoint_may_be_edited_one_after_the_other(case, data):
    sae, x, features = case
    cut = data.draw(st.integers(0, len(features)))
    first, second = sae.only(features[:cut]), sae.only(features[cut:])
    together = edited(sae.only(features), x)
    assert torch.allclose(edited(second, edited(first, x)), together, atol=1e-5)
    assert torch.allclose(edited(first, edited(second, x)), together, atol=1e-5)


@given(cases(ORTHONORMAL), st.floats(-4, 4), seeds)
def test_what_a_linear_readout_of_the_orthonormal_mock_loses_is_known(case, value, seed):
    """Of r.x, by removing S: sum over S of relu(x.d_i) (r.d_i). Through the bank that runs use."""
    sae, x, features = case
    r = torch.randn(sae.width, generator=torch.Generator().manual_seed(seed)).double()
    kinds = (*KINDS, "no-op")
    edits = [
        Intervention(
            "top", "target", n, kind, "all", "correct", tuple((0, int(f)) for f in features), (),
            () if kind in ("zero", "no-op") else (value,) * len(features),
        )
        for n, kind in enumerate(kinds)
    ]  # fmt: skip
    which = torch.arange(len(kinds))
    edit = make_layer_edits(sae, 0, edits).edit(
        which, identity=torch.zeros(len(kinds), dtype=torch.bool)
    )
    each = x[:1].expand(len(kinds), -1, -1)
    moved = apply(edit, each, everywhere(each))
    d = sae.w_dec[features].double()
    f = (x[0].double() @ d.T).relu()
    change = {
        "zero": -f,
        "clamp": value - f,
        "scale": (value - 1) * f,
        "steer": value + 0 * f,
        "no-op": 0 * f,
    }
    for n, kind in enumerate(kinds):
        found = (moved[n].double() - x[0].double()) @ r
        assert torch.allclose(found, change[kind] @ (d @ r), atol=2e-4)
    assert torch.equal(moved[kinds.index("no-op")], x[0])


# Pairs.


class Rows:
    """Observed rows as analysis reads them."""

    def __init__(self, *tables):
        self.tables = {type(table): table for table in tables}

    def read(self, kind, run_id, **equal):
        return self.tables[kind]


def a_prompt(family, question, label, text="It is", answers=("zero", "not zero")):
    pair = f"f{family}-{question}"
    said = answers[LABELS.index(label)]
    return Prompt(f"{pair}-{label}", pair, f"f{family:02}", label, text, said, *answers, 1)


def planned(prompts, at="last_prompt_token", reduce="mean", claims=None):
    spec = a_plan().spec.model_copy(update={"readout": Readout(at=at, reduce=reduce)})
    if claims is not None:
        spec = spec.model_copy(update={"ablations": (), "claims": claims})
    return make_plan(spec, load_targets()["organism"], prompts)


def observed(prompts, seed):
    """Sparse activations of five features, some of them tied, and log-probabilities."""
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 9, (len(prompts), 5)) * (rng.random((len(prompts), 5)) < 0.6)
    at, feature = values.nonzero()
    ids = np.array([prompt.id for prompt in prompts])
    activations = dict.fromkeys(Activations.names(), ["-"] * len(at)) | {
        "prompt_id": ids[at], "layer": np.ones(len(at)), "feature": feature,
        "value": values[at, feature] / 2,
    }  # fmt: skip
    said = [(prompt, label) for prompt in ids for label in LABELS for _ in range(2)]
    answers = dict.fromkeys(Answers.names(), ["-"] * len(said)) | {
        "prompt_id": [prompt for prompt, _ in said],
        "candidate": [label for _, label in said],
        "logprob": -rng.exponential(size=len(said)),
    }
    return Activations(**activations), Answers(**answers)


OTHER = dict(zip(LABELS, LABELS[::-1], strict=True))


def claiming(direction):
    return (
        BehaviourClaim(
            name="b", behaviour="logit_difference", contrast=True, direction=direction, than=0.0
        ),
    )


@few
@given(seeds, st.sampled_from(["greater", "less"]))
def test_swapping_the_members_of_every_pair_flips_every_sign(seed, direction):
    prompts = [a_prompt(f, q, label) for f in range(14) for q in "ab" for label in LABELS]
    swapped = [dataclasses.replace(prompt, label=OTHER[prompt.label]) for prompt in prompts]
    tables = observed(prompts, seed)
    plan = planned(prompts, claims=claiming(direction))
    turned = planned(swapped, claims=claiming({"greater": "less", "less": "greater"}[direction]))
    for side in ("discovery", "confirmation"):
        a, b = (pair_activations(one, side, tables[0]) for one in (plan, turned))
        assert (a.correct == b.misconception).all()
        assert (a.misconception == b.correct).all()
        assert len(a.correct)
    was, now = (analyse(Rows(*tables), one, "r", "mock") for one in (plan, turned))

    def same(name, other, of=lambda values: values):
        for before, after in zip(was.rows, now.rows, strict=True):
            a = np.array(getattr(before, name), dtype=float)
            b = of(np.array(getattr(after, other), dtype=float))
            np.testing.assert_allclose(a, b, atol=1e-9, err_msg=name)

    for name in ("mean_difference", "u", "statistic", "d_z", "g_av", "rank_biserial"):
        same(name, name, np.negative)
    for low, high in (("ci_low", "ci_high"), ("d_z_low", "d_z_high")):
        same(low, high, np.negative)
    same("common_language", "common_language", lambda values: 1 - values)
    same("rate_correct", "rate_misconception")
    for name in ("p_marginal", "p_adjusted", "p_fdr", "n_pairs", "n_units"):
        same(name, name)
    (claim,), (turned_claim,) = (list(verdicts(one, None, "r")) for one in (was, now))
    assert claim.estimate == pytest.approx(-turned_claim.estimate)
    assert claim.ci_low == pytest.approx(-turned_claim.ci_high)
    assert (claim.p, claim.verdict) == (turned_claim.p, turned_claim.verdict)
    assert claim.estimate != 0


@given(seeds)
def test_swapping_the_candidates_flips_every_logit_difference(seed):
    _, answers = observed([a_prompt(0, "a", label) for label in LABELS], seed)
    turned = dataclasses.replace(answers, candidate=[OTHER[c] for c in answers.candidate])
    was, now = behaviours(answers), behaviours(turned)
    for prompt, metrics in was.items():
        assert metrics["logit_difference"] == -now[prompt]["logit_difference"] != 0
        assert metrics["log_p_correct"] == now[prompt]["log_p_misconception"]


# Whole forwards and replays.


@cache
def model(architecture, side="left", dtype=torch.float32):
    return random_model(2, side, architecture=architecture, dtype=dtype)


@cache
def overlapping(layer):
    return jumprelu(32, 64, layer)


@cache
def orthonormal(layer):
    return orthogonal(32, layer)


def a_bench(used, size=5, saes=overlapping):
    return RunContext("r", "mock", used, saes, BatchLimit(size))


CONTEXTS = (
    "",
    "A careful reader says so.",
    "At the top of its flight the ball turns around, and someone there mixes up the two things.",
)


@cache
def prompts():
    """Short and long ones; one text is shared by both variants of its pair."""
    return tuple(
        a_prompt(
            family,
            question,
            label,
            f"{CONTEXTS[(family + LABELS.index(label) * (family > 0)) % 3]} Its {question} is".strip(),
            answers,
        )
        for family in range(4)
        for question, answers in (
            ("velocity", ("zero", "not zero")),
            ("acceleration", ("downward and then upward", "zero")),
        )
        for label in LABELS
    )


@dataclasses.dataclass(frozen=True)
class Alone:
    """One prompt by a plain forward of its own: nothing padded, nothing beside it."""

    logprobs: dict
    values: dict
    close: dict


@cache
def alone(architecture, at, reduce):
    """Each prompt's log-probabilities, its pooled features and which of them are near a threshold."""
    found = {}
    network, used = model(architecture).network, model(architecture)
    for prompt in prompts():
        logprobs, values, close = {}, {}, {}
        for label in LABELS:
            tokens = used.tokens(prompt.text, prompt.candidate(label))
            start, ids = len(tokens.prompt), torch.tensor([tokens.prompt + tokens.answers[0]])
            output = network(ids, output_hidden_states=True)
            scores = output.logits[0].float().log_softmax(-1)
            for i, token in enumerate(tokens.answers[0]):
                logprobs[label, i] = float(scores[start + i - 1, token])
            if prompt.label != label:
                continue
            read = {
                "last_prompt_token": slice(start - 1, start), "prompt": slice(1, start),
                "answer": slice(start, None), "all": slice(1, None),
            }[at]  # fmt: skip
            for layer in LAYERS:
                sae = overlapping(layer)
                before = output.hidden_states[layer + 1][0, read] @ sae.w_enc + sae.b_enc
                active = before * (before > sae.threshold)
                pooled = {"mean": active.mean(0), "sum": active.sum(0), "max": active.amax(0)}
                values[layer] = pooled[reduce]
                close[layer] = ((before - sae.threshold).abs() < 1e-3).any(0)
        found[prompt.id] = Alone(logprobs, values, close)
    return found


def answered(tables):
    (answers,) = (table for table in tables if isinstance(table, Answers))
    keys = zip(answers.prompt_id, answers.candidate, answers.token_index, strict=True)
    return dict(zip(keys, answers.logprob, strict=True))


def activated(tables):
    """Dense features (features,) by prompt and layer, of those that have any."""
    found = {}
    for table in tables:
        if isinstance(table, Activations):
            for prompt, layer, feature, value in zip(
                table.prompt_id, table.layer, table.feature, table.value, strict=True
            ):
                found.setdefault((prompt, int(layer)), torch.zeros(64))[int(feature)] = float(value)
    return found


def assert_alone(tables, chosen, reference):
    """What was stored of `chosen` prompts is each one's own, whatever stood beside it."""
    answers, activations = answered(tables), activated(tables)
    wanted = {
        (prompt.id, *key): value
        for prompt in chosen
        for key, value in reference[prompt.id].logprobs.items()
    }
    assert answers == pytest.approx(wanted, abs=1e-5)
    for prompt in chosen:
        for layer, values in reference[prompt.id].values.items():
            clear = ~reference[prompt.id].close[layer]
            found = activations[prompt.id, layer]
            assert torch.allclose(found[clear], values[clear], rtol=1e-5, atol=2e-5)
            assert clear.float().mean() > 0.9


class Small(LanguageModel):
    """A model whose memory runs out above so many rows."""

    def __init__(self, like, most):
        super().__init__(like.network, like.tokenizer, like.padding_side)
        self.most = most

    def forward(self, batch, taps=None, *, gradients=False):
        if len(batch) > self.most:
            raise torch.OutOfMemoryError
        return super().forward(batch, taps, gradients=gradients)


readouts = st.tuples(
    st.sampled_from(["last_prompt_token", "prompt", "answer", "all"]),
    st.sampled_from(["mean", "max", "sum"]),
)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@few
@given(
    st.permutations(prompts()),
    st.integers(1, 16),
    padding_sides(),
    st.integers(1, 8),
    st.integers(1, 16),
    readouts,
)
def test_order_batches_padding_and_memory_change_nothing_observed(
    architecture, order, left, side, size, fits, readout
):
    chosen, plan = order[:left], planned(order, *readout)
    used = Small(model(architecture, side), fits)
    found = observe(a_bench(used, size), plan, chosen)
    assert_alone(found, chosen, alone(architecture, *readout))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@few
@given(st.integers(1, 20), st.integers(1, 8))
def test_units_are_observed_once_each_in_whatever_groups(architecture, together, size):
    plan = planned(prompts())
    units = plan.units("observe")
    parts = list(group_units(units, together))
    assert [unit for part in parts for unit in part] == list(units)
    by_id = {prompt.id: prompt for prompt in prompts()}
    for part in parts:
        own = [by_id[prompt] for unit in part for prompt in unit.prompts]
        found = observe(a_bench(model(architecture), size), plan, own)
        assert_alone(found, own, alone(architecture, "last_prompt_token", "mean"))


class Poisoned(LanguageModel):
    """Taps, and what a replay begins from, see NaN at BOS and at padding."""

    def __init__(self, like):
        super().__init__(like.network, like.tokenizer, like.padding_side)

    def forward(self, batch, taps=None, *, gradients=False):
        def poisoned(tap):
            return lambda residual: tap(self.without_bos(batch, residual))

        poisoned_taps = {layer: poisoned(tap) for layer, tap in (taps or {}).items()}
        return super().forward(batch, poisoned_taps, gradients=gradients)

    def cached_forward(self, batch, reads, blocks):
        kept = super().cached_forward(batch, reads, blocks)
        streams = {at: self.without_bos(batch, x) for at, x in kept.residuals.items()}
        return dataclasses.replace(kept, residuals=streams)

    @staticmethod
    def without_bos(batch, residual):
        return residual.masked_fill((batch.place == 0)[..., None], torch.nan)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@few
@given(st.permutations(prompts()), st.integers(1, 8), padding_sides(), readouts)
def test_bos_is_never_read(architecture, order, size, side, readout):
    plan, used = planned(order, *readout), model(architecture, side)
    found = observe(a_bench(Poisoned(used), size), plan, order)
    whole = observe(a_bench(used, size), plan, order)
    assert answered(found) == answered(whole)
    values, wanted = activated(found), activated(whole)
    assert values.keys() == wanted.keys()
    assert all(torch.equal(values[key], wanted[key]) for key in wanted)


def an_edit(kind, value, features, at, role="target"):
    own = () if kind in ("zero", "direction") else (value,) * len(features)
    return Intervention("top", role, 0, kind, at, "correct", features, (), own)


def impacts_of(bench, edits, chosen):
    """Baseline, edited and impact by intervention, prompt and metric."""
    impacts, _ = intervene(bench, edits, lambda: prepare_edits(bench, edits), {}, chosen)
    keys = zip(impacts.intervention_id, impacts.prompt_id, impacts.metric, strict=True)
    values = zip(impacts.baseline, impacts.edited, impacts.impact, impacts.active, strict=True)
    return dict(zip(keys, values, strict=True))


sets = st.lists(
    st.tuples(st.sampled_from(LAYERS), st.integers(0, 31)), min_size=4, max_size=8, unique=True
).map(tuple)
valued = st.sampled_from([("zero", 0.0), ("clamp", 3.0), ("scale", 2.0), ("direction", 0.0)])
some = st.permutations(prompts()).map(lambda order: order[:5])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("saes", [orthonormal, overlapping])
@few
@given(sets, valued, positions(), padding_sides(), st.integers(1, 6), some, st.booleans())
def test_a_no_op_changes_no_bit_of_a_whole_replay(
    architecture, saes, features, kind, at, side, size, chosen, half
):
    used = model(architecture, side, torch.bfloat16 if half else torch.float32)
    edits = [an_edit(*kind, features, at, role) for role in ("target", "no-op")]
    found = impacts_of(a_bench(used, size, saes), edits, chosen)
    for (one, _, _), (was, now, impact, active) in found.items():
        if one == edits[1].id or not active:
            assert now == was
            assert impact == 0
    if at == "all":
        assert any(impact for (one, _, _), (_, _, impact, _) in found.items() if one == edits[0].id)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@few
@given(sets, valued, positions(), padding_sides(), some)
def test_bos_is_never_edited_in_a_replay(architecture, features, kind, at, side, chosen):
    """NaN there would reach every answer of the row."""
    used, edits = model(architecture, side), [an_edit(*kind, features, at)]
    found = impacts_of(a_bench(Poisoned(used)), edits, chosen)
    assert found == impacts_of(a_bench(used), edits, chosen)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@few
@given(rows(len(tokenizer())), padding_sides(), st.sampled_from(LAYERS), feature_sets(32))
def test_the_stream_at_bos_stays_as_it_is_under_every_edit(
    architecture, batched, side, layer, features
):
    """An edit that moves every other token leaves BOS and padding bit for bit, up to the last block."""
    used = model(architecture, side)
    batch = used.batch(batched)
    place = torch.arange(batch.columns) - (batch.ids == 2).long().argmax(1)[:, None]
    still = (batch.ids == 0) | (place == 0)

    def streams(edit):
        seen = {}

        def tap(block):
            def look(x):
                seen[block] = edit(x) if block == layer else x
                return seen[block]

            return look

        used.forward(batch, {block: tap(block) for block in range(used.depth)})
        return seen

    for saes in (overlapping, orthonormal):
        steer = Edit(saes(layer).only(features), *gain_and_shift("steer", 5.0))
        plain = streams(lambda x: x)
        moved = streams(lambda x, e=steer: apply(e, x, positions_of(batch, "all")))
        for block, before in plain.items():
            assert torch.equal(moved[block][still], before[still])
        assert (moved[layer] != plain[layer]).any(-1)[~still].all()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_survey_never_reads_bos(architecture, side):
    class Unread(Poisoned):
        cached_forward = (
            LanguageModel.cached_forward
        )  # its losses are of whole streams, BOS and all

    plan, used = planned(prompts()), model(architecture, side)
    health, *activity = survey(a_bench(Unread(used)), plan, plan.prompts)
    wanted, *rates = survey(a_bench(used), plan, plan.prompts)
    for name in ("n_positions", "l0", "fvu", "fvu_median", "dead"):
        assert list(getattr(health, name)) == list(getattr(wanted, name))
    for own, other in zip(activity, rates, strict=True):
        assert (own.firing_rate == other.firing_rate).all()
