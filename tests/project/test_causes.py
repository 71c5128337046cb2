"""The organism's causal truth: what removing features does, beside plain forwards with a hook."""

import json
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from fixtures.training import __main__ as training
from fixtures.training import causes as module
from fixtures.training.cause_figures import additivity, cause_figures, kinds_of_sets
from fixtures.training.causes import (
    FILE,
    SET_SIZE,
    Causes,
    Extent,
    chosen_prompts,
    measure,
    prompts_digest,
    weights_digest,
)
from harness.models.loading import load_model
from harness.models.model_files import ModelFiles
from harness.paths import bundled
from harness.specs.prompt_file import load_prompts

ORGANISM = bundled("fixtures", "organism")
COMMITTED = ORGANISM / FILE
SMALL = Extent(families=6, features=30, random_sets=12, strong_sets=1)
LAYERS = (2, 4)


@pytest.fixture(scope="module")
def prompts():
    return load_prompts(bundled("data", "voices.jsonl"))


@pytest.fixture(scope="module")
def model():
    return load_model(ModelFiles(ORGANISM, "organism"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def few(prompts):
    """The prompts of the families with the longest answers, of which edits reach the tokens, and more."""
    longest = {prompt.family: len(f"{prompt.correct} {prompt.misconception}") for prompt in prompts}
    order = sorted(longest, key=longest.get)
    return [prompt for prompt in prompts if prompt.family in {*order[:3], *order[-3:]}]


@pytest.fixture(scope="module")
def small(model, few, cache):
    return measure(model, ORGANISM, few, SMALL, cache, LAYERS)


class Plain:
    """Forwards of the organism that share nothing with the harness: one sequence, one hook, no cache."""

    def __init__(self):
        self.network = AutoModelForCausalLM.from_pretrained(ORGANISM, attn_implementation="eager")
        self.tokenizer = AutoTokenizer.from_pretrained(ORGANISM)

    def values(self, stream, layer, members):
        (path,) = (ORGANISM / "sae" / f"layer_{layer}").rglob("params.npz")
        with np.load(path) as sae:
            weights, bias = sae["W_enc"][:, members], sae["b_enc"][members]
            rows, threshold = sae["W_dec"][members], sae["threshold"][members]
        before = stream.numpy() @ weights + bias
        return np.where(before > threshold, before, 0.0), rows

    @torch.no_grad()
    def answer(self, text, answer, layer, members):
        """The log-probability of an answer without these features, and whether any of them fired."""
        asked, whole = (self.tokenizer(one).input_ids for one in (text, f"{text} {answer}"))
        assert whole[: len(asked)] == asked
        fired = []

        def remove(_, __, output):
            values, rows = self.values(output[0, 1:], layer, members)
            fired.append((values > 0).any())
            output[0, 1:] -= torch.tensor(values @ rows, dtype=output.dtype)
            return output

        hook = self.network.model.layers[layer].register_forward_hook(remove)
        logits = self.network(torch.tensor([whole])).logits[0]
        hook.remove()
        places = range(len(asked), len(whole))
        scores = torch.log_softmax(logits, -1)
        return sum(float(scores[at - 1, whole[at]]) for at in places), fired[0]

    def impact(self, prompt, layer, members):
        """What removing these features does to the difference of log-probabilities, and if any fired."""
        own, none = (
            [self.answer(prompt.text, one, layer, some) for one in (prompt.correct, prompt.misconception)]
            for some in (members, [])
        )  # fmt: skip
        differences = [correct - misconception for (correct, _), (misconception, _) in (own, none)]
        return differences[0] - differences[1], any(fired for _, fired in own)


@pytest.fixture(scope="module")
def plain():
    return Plain()


def check_against_plain(plain, causes, chosen, rows, sets, families):
    """Impacts of some features and sets on some families, and that a 0 is one that did not fire."""
    looked = [(int(causes.layer[i]), [int(causes.feature[i])], causes.impact[i]) for i in rows]
    looked += [
        (int(causes.set_layer[i]), causes.set_members[i].tolist(), causes.set_impact[i])
        for i in sets
    ]
    moved = 0
    for layer, members, impact in looked:
        for family in families:
            expected, fired = plain.impact(chosen[family], layer, members)
            assert float(impact[family]) == pytest.approx(expected, abs=4e-4, rel=1e-3)
            assert fired or impact[family] == 0
            moved += abs(expected) > 0.01
    assert moved > 3


def test_impacts_are_those_of_plain_forwards_with_a_hook(small, few, plain):
    chosen = chosen_prompts(few)
    effect = np.abs(small.impact.astype(float)).mean(axis=1)
    rows = [*np.argsort(-effect)[:3], *np.argsort((small.impact == 0).sum(axis=1))[-3:]]
    check_against_plain(plain, small, chosen, rows, [0, len(small.set_layer) - 1], range(6))
    for family, prompt in enumerate(chosen):
        correct, misconception = (
            plain.answer(prompt.text, one, 0, [])[0] for one in (prompt.correct, prompt.misconception)
        )  # fmt: skip
        assert small.baseline[family] == pytest.approx(correct - misconception, abs=1e-3)


def test_a_prompt_of_each_family_is_chosen_whatever_other_families_there_are(prompts):
    chosen = chosen_prompts(prompts)
    families = sorted({prompt.family for prompt in prompts})
    assert [prompt.family for prompt in chosen] == families
    assert {prompt.label for prompt in chosen} == {"misconception"}
    kinds = [(prompt.tags["condition"], prompt.tags["quantity"]) for prompt in chosen]
    assert min(kinds.count(kind) for kind in set(kinds)) >= len(families) / 8
    assert len(set(kinds)) == 4
    some = [prompt for prompt in reversed(prompts) if prompt.family in families[::3]]
    assert chosen_prompts(some) == tuple(chosen[::3])
    assert chosen_prompts(prompts, 7) == chosen[:7]


def test_sets_are_of_one_layer_and_the_strong_ones_of_its_strongest(small):
    assert (small.set_strong == 0).sum() == len(LAYERS) * SMALL.random_sets / 6
    kinds = set(zip(small.set_strong.tolist(), small.set_direction.tolist(), strict=True))
    assert kinds == {(0, 0)} | {(n, sign) for n in (1, 2, 3, 5, 10) for sign in (1, -1)}
    for layer, members, strong, sign in zip(
        small.set_layer, small.set_members, small.set_strong, small.set_direction, strict=True
    ):
        features, impact = small.of_layer(layer)
        assert len(set(members)) == SET_SIZE
        assert set(members) <= set(features)
        order = np.argsort(-int(sign) * impact.mean(axis=1))
        at = [int(np.flatnonzero(features[order] == one)[0]) for one in members[:strong]]
        assert all(place < module.STRONGEST + 2 for place in at)  # rounding may swap equal ones


def test_a_layer_that_is_done_is_not_measured_again(small, model, few, cache, monkeypatch):
    def never(*_):
        raise AssertionError("measured")

    monkeypatch.setattr(module, "_measure_layer", never)
    again = measure(model, ORGANISM, few, SMALL, cache, LAYERS)
    for name, value in vars(small).items():
        assert np.array_equal(value, getattr(again, name)), name
    for other in (Extent(4, 30, 12, 1), Extent(6, 30, 12, 2)):
        with pytest.raises(AssertionError, match="measured"):
            measure(model, ORGANISM, few, other, cache, LAYERS)


def test_layers_apart_are_the_layers_together(small, model, few):
    apart = measure(model, ORGANISM, few, SMALL, layers=[4])
    own = small.layer == 4
    assert np.array_equal(apart.impact, small.impact[own])
    assert np.array_equal(apart.set_impact, small.set_impact[small.set_layer == 4])
    assert own.sum() == SMALL.features


def test_the_file_is_the_same_each_time_and_says_what_it_is_of(small, few, tmp_path):
    paths = tmp_path / "a.npz", tmp_path / "b.npz"
    for path in paths:
        small.write(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    read = Causes.read(paths[0])
    chosen = chosen_prompts(few)
    assert read.prompts_sha256 == prompts_digest(chosen) != prompts_digest(chosen[1:])
    assert read.weights_sha256 == weights_digest(ORGANISM)
    assert read.is_limited is True
    shutil.copytree(ORGANISM, tmp_path / "organism")
    with (tmp_path / "organism" / "tokenizer.json").open("a") as file:
        file.write(" ")
    assert weights_digest(tmp_path / "organism") != read.weights_sha256


def test_figures_say_what_the_impacts_say(small):
    auroc = {layer: np.linspace(0, 1, 1024) for layer in LAYERS}
    layer, feature = int(small.layer[-1]), int(small.feature[-1])
    known = [{"layer": layer, "feature": feature, "sign": 1, "auroc": 0.9}]
    found = cause_figures(small, auroc, known)
    effect = {
        (int(a), int(b)): float(np.mean([float(x) for x in row]))
        for a, b, row in zip(small.layer, small.feature, small.impact, strict=True)
    }
    for one in found["layers"]:
        own = {b: value for (a, b), value in effect.items() if a == one["layer"]}
        assert one["fire"] == len(own)
        assert one["notable"] == sum(abs(value) >= 0.1 for value in own.values())
        assert one["toward_correct"][0] == max(own, key=own.get)
        assert one["toward_misconception"] == [min(own, key=own.get), round(min(own.values()), 2)]
        # As `auroc` grows with the feature's number, ranks of both are those of number and effect.
        order = sorted(own)
        place = {feature: rank for rank, feature in enumerate(sorted(own, key=own.get))}
        distance = sum((rank - place[feature]) ** 2 for rank, feature in enumerate(order))
        spearman = 1 - 6 * distance / (len(own) ** 3 - len(own))
        assert one["rank_correlation"] == pytest.approx(spearman, abs=0.02)  # ties aside
    (only,) = found["known"]
    assert only["nats"] == round(effect[layer, feature], 2)
    larger = [
        v for (a, _), v in effect.items() if a == layer and abs(v) > abs(effect[layer, feature])
    ]
    assert only["place"] == 1 + len(larger)


def test_an_effect_is_shown_where_it_is_there_in_every_family(small):
    random = np.random.default_rng(0)
    impact = random.normal(0, 1, (len(small.layer), 12))
    impact[7] += 5
    wide = replace(small, impact=impact, family=np.arange(12).astype(str))
    found = cause_figures(wide, {layer: np.linspace(0, 1, 1024) for layer in LAYERS}, [])
    assert [one["shown"] for one in found["layers"]] == [1, 0]
    assert found["families"] == 12


def test_impacts_are_rounded_and_their_size_small(small):
    for values in (small.impact, small.set_impact):
        fine = np.abs(values) < 0.25  # above, float16 itself is coarser
        assert np.array_equal(values[fine] * 4096, np.round(values[fine] * 4096))
        assert values.dtype == np.float16


def test_additivity_is_of_sums_of_single_impacts(small):
    for name, which in kinds_of_sets(small).items():
        added, measured = [], []
        for place in np.flatnonzero(which):
            layer, members = small.set_layer[place], small.set_members[place]
            own = (small.layer == layer) & np.isin(small.feature, members)
            assert own.sum() == SET_SIZE
            added.append(sum(row.astype(float) for row in small.impact[own]).mean())
            measured.append(small.set_impact[place].astype(float).mean())
        found = additivity(small, which)
        assert found["sets"] == len(added) > 3, name
        assert found["correlation"] == pytest.approx(np.corrcoef(added, measured)[0, 1], abs=1e-4)
        assert found["distance"] == pytest.approx(
            np.median(np.abs(np.subtract(added, measured))), abs=1e-4
        )


def test_the_command_measures_in_parts_and_writes_file_card_and_sums(tmp_path, monkeypatch):
    organism = tmp_path / "organism"
    shutil.copytree(ORGANISM, organism, ignore=shutil.ignore_patterns(FILE))
    call = [
        "training",
        "--out",
        organism,
        "--causes",
        "--limit",
        "10",
        "--cache",
        tmp_path / "cache",
    ]

    every = training._probes()
    monkeypatch.setattr(training, "_probes", lambda: every[:80])  # a rank correlation of a trial

    def run(*more):
        monkeypatch.setattr(sys, "argv", [str(one) for one in (*call, *more)])
        training.main()

    run(*(word for layer in range(1, 6) for word in ("--layer", layer)))
    assert not (organism / FILE).exists()
    assert len(list((tmp_path / "cache").iterdir())) == 5
    run()
    causes = Causes.read(organism / FILE)
    assert causes.is_limited
    assert set(causes.layer.tolist()) == set(range(6))
    assert f"  {FILE}\n" in (organism / "SHA256SUMS").read_text()
    figures = json.loads((organism / "figures.json").read_text())
    card = (organism / "README.md").read_text()
    assert "## Causes" in card
    for one in figures["causes"]["layers"]:
        assert f"| {one['layer']} | {one['fire']} | {one['notable']} |" in card


@pytest.mark.parametrize(
    "more, says",
    [(["--layer", "1"], "--cache"), (["--causes", "--limit", "9"], "10 or more")],
)
def test_a_part_needs_a_place_and_a_trial_enough_features(more, says, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["training", *more])
    with pytest.raises(SystemExit, match="2"):
        training.main()
    assert says in capsys.readouterr().err


def test_the_committed_causes_are_of_these_prompts_and_weights_and_are_true(prompts, plain):
    causes = Causes.read(COMMITTED)
    chosen = chosen_prompts(prompts)
    assert not causes.is_limited
    assert causes.family.tolist() == [prompt.family for prompt in chosen]
    assert causes.prompt.tolist() == [prompt.id for prompt in chosen]
    assert causes.prompts_sha256 == prompts_digest(chosen)
    assert causes.weights_sha256 == weights_digest(ORGANISM)
    assert (causes.set_strong == 0).sum() >= 1000
    assert COMMITTED.stat().st_size < 800_000
    figures = json.loads((ORGANISM / "figures.json").read_text())["causes"]
    assert figures["prompts_sha256"] == causes.prompts_sha256
    assert figures["weights_sha256"] == causes.weights_sha256
    effect = np.abs(causes.impact.astype(float).mean(axis=1))
    rows = [int(np.flatnonzero(causes.layer == layer)[effect[causes.layer == layer].argmax()])
            for layer in sorted(set(causes.layer.tolist()))]  # fmt: skip
    rows += np.random.default_rng(3).choice(len(causes.layer), 4, replace=False).tolist()
    sets = [0, int(np.flatnonzero(causes.set_strong == SET_SIZE)[-1])]
    lengths = [len(f"{prompt.correct} {prompt.misconception}") for prompt in chosen]
    families = (0, len(chosen) // 2, len(chosen) - 1, int(np.argmax(lengths)))
    check_against_plain(plain, causes, chosen, rows, sets, families)
