"""A run as the proof of concept's files: every line, against the tables."""

import json

import pytest
from jsonschema import Draft202012Validator

from harness.store.export.formats import FORMATS
from tests.helpers.cli import exported, invoke
from tests.helpers.runs import run_on_organism
from tests.helpers.specs import FEW_CLAIMS, write_few
from tests.helpers.store import query


@pytest.fixture(scope="module")
def poc(few, tmp_path_factory):
    folder, said = exported(
        tmp_path_factory.mktemp("poc"), few[0], "few", "--format", "poc", "--topk_features", 5
    )
    assert said == ""
    return folder


def read_json(path):
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else [
        json.loads(text)
    ]  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_every_line_is_of_the_schema_that_is_printed(poc, name):
    validator = Draft202012Validator(json.loads(invoke("schema", name).output))
    validator.check_schema(validator.schema)
    lines = read_json(next(poc.glob(f"{name}.json*")))
    assert lines
    for line in lines:
        assert not list(validator.iter_errors(line))
        assert name == "diff_report" or line["model"] == "fixtures/organism"
        assert list(validator.iter_errors(line | {"more": 1}))
        assert list(validator.iter_errors(line | {"origin": "guess"}))
        optional = {
            "others",
            "ablation",
            "role",
            "kind",
            "active",
            "model_revision",
            "sae_revision",
        }
        optional |= set() if name == "ablation_report" else {"model", "sae"}
        for key in set(line) - optional:
            assert list(validator.iter_errors({k: v for k, v in line.items() if k != key})), key


def test_results_hold_the_fifty_best_logits_of_each_step(poc, few):
    db, run_id = few
    lines = read_json(poc / "results.jsonl")
    said = query(
        db,
        "SELECT prompt_id, pair_id, label, prompt, token_ids, decoded_answer, g.origin "
        "FROM prompts JOIN generations g USING (run_id, prompt_id) WHERE run_id = $r ORDER BY line",
        r=run_id,
    )
    names = ("id", "pair_id", "label", "prompt", "tokens", "decoded_answer", "origin")
    assert [tuple(line[name] for name in names) for line in lines] == said
    logits = query(
        db,
        "SELECT prompt_id, step, token_id, token, logit, logprob FROM topk_logits "
        "WHERE run_id = $r ORDER BY prompt_id, step, logit DESC, rank",
        r=run_id,
    )
    told = [
        (line["id"], step, one["token_id"], one["token"], one["logit"], one["logprob"])
        for line in sorted(lines, key=lambda line: line["id"])
        for step, best in enumerate(line["logits_topk"])
        for one in best
    ]
    assert told == logits
    for line in lines:
        assert [len(best) for best in line["logits_topk"]] == [50] * len(line["tokens"])
        assert [best[0]["token_id"] for best in line["logits_topk"]] == line["tokens"]


def values_of(db, run_id):
    """Each prompt's active features at each layer, by brute force."""
    found = {}
    for prompt, pair, label, _ in query(
        db, "SELECT prompt_id, pair_id, label, line FROM prompts WHERE run_id = $r ORDER BY line", r=run_id
    ):  # fmt: skip
        for layer in (1, 3):
            found[prompt, pair, label, layer] = {}
    keys = {(key[0], key[3]): key for key in found}
    for prompt, layer, feature, value in query(
        db, "SELECT prompt_id, layer, feature, value FROM activations WHERE run_id = $r", r=run_id
    ):
        found[keys[prompt, layer]][feature] = value
    return found


def test_features_are_each_prompts_strongest_and_say_how_many_there_were(poc, few):
    lines = read_json(poc / "features.jsonl")
    known = values_of(*few)
    names = ("id", "pair_id", "label", "layer")
    assert [tuple(line[name] for name in names) for line in lines] == list(known)
    for line, values in zip(lines, known.values(), strict=True):
        best = sorted(values.items(), key=lambda item: (-item[1], item[0]))[:5]
        assert list(zip(line["topk_feature_ids"], line["topk_feature_activations"], strict=True)) == best  # fmt: skip
        assert line["active"] == len(values) > 5
    assert {line["origin"] for line in lines} == {"stand-in"}


def test_differences_are_those_of_all_features_of_each_pair(poc, few):
    """Not of the five listed ones: nothing is cut off before the sides are compared."""
    (report,) = read_json(poc / "diff_report.json")
    known = values_of(*few)
    sides = {(pair, label, layer): values for (_, pair, label, layer), values in known.items()}
    sums = {1: {}, 3: {}}
    expected = {}
    for pair, layer in dict.fromkeys((pair, layer) for pair, _, layer in sides):
        a, b = (sides[pair, label, layer] for label in ("correct", "misconception"))
        sizes = {one: abs(a.get(one, 0) - b.get(one, 0)) for one in a.keys() | b.keys()}
        for one, size in sizes.items():
            sums[layer].setdefault(one, []).append((size, a.get(one, 0), b.get(one, 0)))
        best = sorted(sizes, key=lambda one: (-sizes[one], one))[:5]
        expected[pair, layer] = [(one, sizes[one], a.get(one, 0), b.get(one, 0)) for one in best]
    columns = ("top_diff_features", "diff_magnitudes", "activations_a", "activations_b")
    told = {
        (one["pair_id"], one["layer"]): list(zip(*(one[name] for name in columns), strict=True))
        for one in report["all_diffs"]
    }
    assert told == expected
    pairs = len(expected) / 2
    for layer, of_layer in sums.items():
        one = report["diffs_by_layer"][str(layer)]
        assert one["n_diffs"] == pairs
        means = {key: [sum(column) / pairs for column in zip(*v, strict=True)] for key, v in of_layer.items()}  # fmt: skip
        best = sorted((mean[0] for mean in means.values()), reverse=True)[:5]
        assert one["diff_magnitudes"] == pytest.approx(best)
        for key, *values in zip(*(one[name] for name in columns), strict=True):
            assert values == pytest.approx(means[key])
    assert (report["topk_features"], report["origin"]) == (5, "stand-in")


def test_the_same_report_is_written_of_a_stored_run_by_diff(poc, few, tmp_path):
    path = tmp_path / "d.json"
    found = invoke("diff", "--run_dir_a", "few", "--topk_features", 5, "--output_path", path, "--db", few[0])  # fmt: skip
    assert found.exit_code == 0, found.output
    names = {"a", "b"}
    (mine,), (theirs,) = read_json(path), read_json(poc / "diff_report.json")
    assert {k: v for k, v in mine.items() if k not in names} == {
        k: v for k, v in theirs.items() if k not in names
    }


def test_the_ablation_report_holds_each_feature_and_set_with_its_counts(poc, few):
    db, run_id = few
    (report,) = read_json(poc / "ablation_report.json")
    told = [report, *report["others"]]
    assert [(one["ablation"], one["role"], one["kind"]) for one in told] == [
        ("one", "target", "scale"), ("top", "single", "zero"), ("top", "single", "zero"),
        ("top", "target", "zero"),
    ]  # fmt: skip
    assert (report["layer"], report["feature_id"]) == (3, 0)
    assert told[-1]["feature_id"] is None
    for one in told:
        known = query(
            db,
            "WITH i AS (SELECT run_id, intervention_id, list([layer, feature] ORDER BY rank) AS f "
            "FROM interventions WHERE run_id = $r AND role = $role AND ablation = $a GROUP BY ALL) "
            "SELECT prompt_id, pair_id, label, correct, impacts.baseline, edited, edited - impacts.baseline "
            "FROM impacts JOIN i USING (run_id, intervention_id) "
            "JOIN prompts USING (run_id, prompt_id) "
            "WHERE metric = 'log_p_correct' AND f = $features ORDER BY line",
            r=run_id,
            role=one["role"],
            a=one["ablation"],
            features=one["features"],
        )
        names = ("id", "pair_id", "label", "answer", "baseline_logprob", "ablated_logprob")
        results = one["results"]
        assert [tuple(result[name] for name in names) for result in results] == [
            row[:6] for row in known
        ]
        deltas = [row[6] for row in known]
        assert [result["delta"] for result in results] == pytest.approx(deltas, abs=1e-9)
        assert one["summary"] == {
            "mean_delta": pytest.approx(sum(deltas) / len(deltas), abs=1e-9),
            "decreased": sum(delta < -1e-6 for delta in deltas),
            "increased": sum(delta > 1e-6 for delta in deltas),
            "unchanged": sum(abs(delta) <= 1e-6 for delta in deltas),
        }
    assert any(one["summary"]["decreased"] for one in told)
    assert any(one["summary"]["increased"] for one in told)


def test_what_a_run_has_nothing_for_is_said_and_left_out(tmp_path, root):
    spec = write_few(tmp_path, more="", claims=FEW_CLAIMS.split("  - {name: any")[0], layers="none")
    spec.write_text(spec.read_text().replace("new_tokens: 2\n", "new_tokens: 0\n"))
    run_on_organism(spec, tmp_path / "r.duckdb")
    folder, said = exported(tmp_path, tmp_path / "r.duckdb", "--format", "poc")
    assert said.splitlines() == [
        "results.jsonl is empty: the spec asks for no new_tokens",
        "features.jsonl is empty and diff_report.json left out: the run reads no layer",
        "ablation_report.json is left out: the run ablates nothing",
    ]
    assert sorted(path.name for path in folder.iterdir()) == ["features.jsonl", "results.jsonl"]
