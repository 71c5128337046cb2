"""Metrics by name: which there are, where each makes sense, and what registered ones must be."""

import json

import numpy as np
import pytest

from harness.errors import InputError
from harness.specs.claims import in_words
from harness.specs.design import smallest_bet
from harness.specs.metrics import KINDS
from harness.specs.spec_file import load
from harness.stats.bounded_means import bounded_mean
from harness.stats.own_metrics import all_metrics, own_metrics
from tests.helpers.cli import invoke
from tests.helpers.own_metrics import install
from tests.helpers.specs import family_lines, without_words

SPEC = """\
name: measured
question: What is it measured in?
targets: {organism: {layers: [1, 3]}}
prompts: mine.jsonl
contrast: {alpha: 0.3}
unadjusted: few families confirm
METRIC
ablations: [{name: top, select: {top: 2, by: contrast}, doses: [0, 2], controls: 4}]
claims:
  - {name: c, CLAIM}
"""


def write(folder, claim, metric="", families=12):
    lines = without_words(family_lines(families))
    (folder / "mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
    path = folder / "measured.yaml"
    path.write_text(SPEC.replace("METRIC", metric and f"metric: {metric}").replace("CLAIM", claim))
    return path


def faults(folder, claim, metric=""):
    found = json.loads(invoke("check", write(folder, claim, metric), "--json").stdout)
    return [
        f"{one['where']}: {one['what']}; {one['remedy']}" for one in found["specs"][0]["faults"]
    ]


WITHIN = "ablation: top, within: 1"
TOWARD = "ablation: top, direction: toward-correct"


@pytest.mark.parametrize(
    "claim, metric",
    [
        *((f"behaviour: {name}, direction: greater, than: 0.4", "") for name in KINDS if name != "kl"),
        ("behaviour: accuracy, contrast: true, within: 0.2", ""),
        *((f"{WITHIN}, metric: {name}, beyond: zero", "") for name in KINDS),
        *((TOWARD, name) for name in ("accuracy", "log_p_correct", "log_p_misconception")),
        ("share: top, than: 0.2, metric: accuracy", ""),
        ("monotone: top, direction: toward-correct, metric: log_p_correct", ""),
        ("specific: top, within: 1, metric: kl", ""),
        ("collateral: top, prompts: mine.jsonl, within: 1, metric: mass", ""),
    ],
)  # fmt: skip
def test_metrics_that_make_sense_are_right(tmp_path, claim, metric):
    assert faults(tmp_path, claim, metric) == []


@pytest.mark.parametrize(
    "claim, metric, said",
    [
        ("behaviour: acuracy, direction: greater", "", "behaviour is 'acuracy'; did you mean 'accuracy'?"),
        ("behaviour: kl, direction: greater", "", ":10:15: kl is how far an edit moves a distribution"),
        (WITHIN, "kl", "kl is how far an edit moves a distribution"),
        (WITHIN, "masss", "metric is 'masss'; did you mean 'mass'?"),
        (f"{WITHIN}, metric: none", "", "metric is 'none'; use one of"),
        (f"{WITHIN}, metric: kl", "", "kl only grows"),
        (f"{TOWARD}, metric: kl", "", "kl only grows"),
        (f"{TOWARD}, metric: mass", "", "mass is of both answers together, and moves toward neither"),
        (TOWARD, "log_mass", "log_mass is of both answers together, and moves toward neither"),
        ("share: top, than: 0.2, metric: mass", "", "mass is of both answers together"),
        ("behaviour: accuracy, direction: greater, than: 1.5", "", "accuracy lies between 0 and 1"),
        ("behaviour: accuracy, direction: greater, than: 0.99", "", "bets on 6 families can give no p below"),
    ],
)  # fmt: skip
def test_a_metric_where_it_makes_no_sense_is_refused_in_a_sentence(tmp_path, claim, metric, said):
    found = faults(tmp_path, claim, metric)
    assert any(said in fault for fault in found), found


def test_a_claims_own_metric_is_in_its_hash_and_its_words(tmp_path):
    plain = load(write(tmp_path, TOWARD)).spec
    own = load(write(tmp_path, f"{TOWARD}, metric: accuracy")).spec
    assert plain.hash != own.hash
    assert "metric" not in json.loads(plain.canonical())["claims"][0]
    said = "ablation top moves the answers toward the right answer beyond its matched controls"
    assert in_words(plain.claims[0]) == said
    share = ", in the share of prompts on which the right answer is the likelier one"
    assert in_words(own.claims[0]) == said + share
    assert in_words(plain.claims[0], metric="accuracy") == said + share
    level = load(write(tmp_path, "behaviour: mass, direction: greater, than: 0.1")).spec
    assert in_words(level.claims[0]) == (
        "on average over families, the probability of both answers together is greater than 0.1 probability"
    )


def test_every_metric_is_what_it_is_of_the_two_log_probabilities():
    positive, negative = np.log([0.5, 0.1, 0.25]), np.log([0.25, 0.6, 0.25])
    found = all_metrics(positive, negative, {})
    assert np.allclose(found["mass"], [0.75, 0.7, 0.5])
    assert np.allclose(found["log_mass"], np.log([0.75, 0.7, 0.5]))
    assert found["accuracy"].tolist() == [1, 0, 0]
    assert np.allclose(found["logit_difference"], np.log([2, 1 / 6, 1]))
    assert {*found} == {*KINDS} - {"kl"}


@pytest.mark.parametrize("units", [3, 6, 12, 40])
@pytest.mark.parametrize("than", [0.0, 0.2, 0.5, 0.9])
def test_what_check_says_of_bets_is_what_they_can_give(units, than):
    alpha, bounds = 0.05, (0.0, 1.0)
    most, least = (bounded_mean(np.full(units, x), *bounds, alpha=alpha) for x in bounds[::-1])
    assert np.isclose(
        min(1, 2 * most.p_above(than)), smallest_bet(units, than, None, 1, alpha, bounds)
    )
    assert np.isclose(
        min(1, 2 * least.p_below(than)), smallest_bet(units, than, None, -1, alpha, bounds)
    )
    inside = max(most.p_above(than - 0.1), least.p_below(than + 0.1))
    assert np.isclose(inside, smallest_bet(units, than, 0.1, 0, alpha, bounds))
    rng = np.random.default_rng(units)
    for values in rng.random((200, units)) ** rng.uniform(0.02, 1, (200, 1)):
        p = bounded_mean(values, *bounds, alpha=alpha).p_above(than)
        assert 2 * p >= smallest_bet(units, than, None, 1, alpha, bounds) * (1 - 1e-9)


def test_a_registered_metric_is_valid_said_and_recorded_by_whose_it_is(tmp_path, monkeypatch):
    assert any(
        "did you mean" in one or "use one of" in one
        for one in faults(tmp_path, "behaviour: margin, direction: greater")
    )
    install(tmp_path, monkeypatch, "margin")
    path = write(tmp_path, "behaviour: margin, direction: greater")
    found = invoke("check", path)
    assert found.exit_code == 0, found.output
    assert (
        "  metric margin: By how much the positive answer is the likelier one, at most 3 nats. "
        "In capped nats; my-metrics 1.4"
    ) in found.stdout.splitlines()
    (own,) = own_metrics({"margin", "accuracy"}).values()
    assert own.facts == {
        "says": "By how much the positive answer is the likelier one, at most 3 nats.",
        "unit": "capped nats",
        "distribution": "my-metrics",
        "version": "1.4",
    }
    assert own(np.array([-1.0, -9.0]), np.array([-1.5, -1.0])).tolist() == [0.5, -3.0]


@pytest.mark.parametrize(
    "entry, said",
    [
        ("mute", "metric 'mute' of my-metrics has no docstring; say in its first line what it measures"),
        ("short", "metric short (my-metrics 1.4): returns an array of shape () for 5 prompts; return one number"),
        ("infinite", "metric infinite (my-metrics 1.4): is inf where the answers have log-probabilities -0.1 and -3"),
        ("raising", "raises RuntimeError: no such luck; mend it"),
        ("moody", "gives other values when it is called again; let it depend on its arguments alone"),
        ("ranked", "gives a prompt another value when it is asked for beside others"),
        ("unitless", "the unit of metric 'unitless' is no text"),
        ("number = my_metrics_code:NUMBER", "metric 'number' of my-metrics is no function"),
        ("gone = my_metrics_code:gone", "cannot be imported from my_metrics_code:gone: AttributeError"),
        ("away = my_metrics_away:f", "cannot be imported from my_metrics_away:f: ModuleNotFoundError"),
    ],
)  # fmt: skip
def test_what_is_no_metric_is_named_with_exit_2(tmp_path, monkeypatch, entry, said):
    install(tmp_path, monkeypatch, entry)
    name = entry.partition(" ")[0]
    path = write(tmp_path, f"behaviour: {name}, direction: greater")
    found = invoke("check", path)
    assert found.exit_code == 2
    told = " ".join(found.output.split())
    assert said in told
    if "(my-metrics" not in said and "raises" not in said and "gives" not in said:
        assert f"{path}:10:15: " in found.output.replace("\n", "")


def test_a_metric_that_spoils_its_arguments_spoils_nobody_elses(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, "spoiling")
    (own,) = own_metrics({"spoiling"}).values()
    positive = np.array([-1.0, -2.0])
    own(positive, np.array([-1.5, -1.0]))
    assert positive.tolist() == [-1.0, -2.0]


def test_a_name_that_is_taken_is_nobodys(tmp_path, monkeypatch):
    for name in ("my-metrics", "your-metrics"):
        folder = tmp_path / name
        folder.mkdir()
        install(folder, monkeypatch, "margin", name=name)
    with pytest.raises(
        InputError, match="'margin' is taken: my-metrics and your-metrics register it"
    ):
        own_metrics({"margin"})


def test_the_harness_keeps_its_own_names(tmp_path, monkeypatch):
    install(
        tmp_path,
        monkeypatch,
        "accuracy = my_metrics_code:doubled",
        "top1_flips = my_metrics_code:doubled",
    )
    assert own_metrics({"accuracy"}) == {}, "what is the harness's is nobody else's"
    with pytest.raises(InputError, match="'top1_flips' is taken"):
        own_metrics({"top1_flips"})


def test_attribution_of_a_metric_without_a_gradient_is_told(tmp_path):
    path = write(tmp_path, TOWARD, "accuracy")
    path.write_text(path.read_text().replace("by: contrast", "by: attribution"))
    said = invoke("check", path).stderr
    assert (
        "attribution of top predicts logit_difference: it needs a gradient toward an answer" in said
    )
