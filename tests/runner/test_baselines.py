"""What a scene adds to a model's answers: prompts beside the same sentences without their scenes."""

import json
import math

import pytest

from harness.runner.stages.baseline import baseline
from harness.specs.prompt_pairs import complete
from tests.helpers.cli import invoke
from tests.helpers.runs import a_run_context, made_once, run_on_organism
from tests.helpers.specs import behaviour_spec, family_lines, plan_of, some_voices
from tests.helpers.store import changed_copy, query

SPEC = """\
name: scenes
question: Does the scene matter?
targets: {organism: {layers: none}}
prompts: scenes.jsonl
new_tokens: 0
split: {discovery: 0}
contrast: {alpha: 0.3}
unadjusted: few families
claims:
  - {name: matters, behaviour: logit_difference, beyond: baseline, direction: greater}
  - {name: plain, behaviour: logit_difference, direction: greater}
"""


def bare(text):
    """The sentence after the last scene."""
    return text.rsplit(". ", 1)[-1]


def scenes(folder, keep=lambda line: True):
    lines = some_voices(6).splitlines()
    lines = [json.loads(line) for line in lines]
    lines = [line | {"baseline": bare(line["prompt"])} if keep(line) else line for line in lines]
    (folder / "scenes.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (folder / "scenes.yaml").write_text(SPEC)
    return folder / "scenes.yaml"


def test_a_baseline_is_what_plain_forwards_of_each_answer_give():
    lines = [line | {"baseline": bare(line["prompt"])} for line in family_lines(3)]
    prompts, faults = complete("-", list(enumerate(lines, 1)), balanced=True)
    assert not faults
    run_context = a_run_context(batch_size=3)
    (found,) = baseline(run_context, prompts)
    assert len(found) == 2 * len(prompts)
    stored = dict(
        zip(zip(found.prompt_id, found.candidate, strict=True), found.logprob, strict=True)
    )
    model = run_context.model
    for prompt in prompts:
        assert prompt.baseline != prompt.text
        for label in ("correct", "misconception"):
            tokens = model.tokens(prompt.baseline, prompt.candidate(label))
            ((answer,),) = model.forward(model.batch([tokens]))
            alone = math.fsum(answer.tolist())
            assert stored[prompt.id, label] == pytest.approx(alone, abs=1e-4)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return made_once(
        tmp_path_factory, "scenes.duckdb", lambda folder, db: run_on_organism(scenes(folder), db)
    )


def test_the_estimate_is_the_mean_over_pairs_of_what_the_scene_adds(done):
    (estimate, because), (plain, _) = query(
        done, "SELECT estimate, because FROM verdicts ORDER BY claim"
    )
    ((own,),) = query(done, "SELECT avg(logit_difference) FROM behaviour")
    ((without,),) = query(done, "SELECT avg(logit_difference) FROM baseline_behaviour")
    assert estimate == pytest.approx(own - without, abs=1e-9)
    assert plain == pytest.approx(own, abs=1e-9)
    assert abs(without) > 0.01
    assert "families" in because
    # One sentence that several prompts share has one score, whichever group it was in.
    shared = query(
        done,
        "SELECT max(logprob) - min(logprob), count(*) FROM baselines JOIN prompts USING (run_id, prompt_id) "
        "GROUP BY baseline, candidate, correct",
    )
    assert max(count for _, count in shared) > 1
    assert all(spread < 1e-4 for spread, _ in shared)
    ((value, beside),) = query(
        done,
        "SELECT avg(value), avg(beside) FROM evidence((SELECT run_id FROM runs), 'matters')",
    )
    assert (value, beside) == (pytest.approx(own), pytest.approx(without))
    ((empty,),) = query(
        done, "SELECT count(beside) FROM evidence((SELECT run_id FROM runs), 'plain')"
    )
    assert empty == 0


def test_a_run_repeated_from_the_store_alone_has_the_same_baselines(done, tmp_path):
    copy = changed_copy(done, tmp_path)
    found = invoke("rerun", "scenes", "--device", "cpu", "--db", copy)
    assert found.exit_code == 0, found.output
    assert "every table agrees, to the last bit." in found.output
    ((runs, rows),) = query(copy, "SELECT count(DISTINCT run_id), count(*) FROM baselines")
    assert (runs, rows) == (2, 4 * len(query(done, "SELECT prompt_id FROM prompts")))


def test_a_baseline_belongs_to_the_hash_of_prompts_and_leaves_that_of_others_as_it_was():
    plain, changed = (plan_of(behaviour_spec(), lines) for lines in (family_lines(), with_bare()))
    assert plain.prompts_hash != changed.prompts_hash
    assert plain.prompts_hash == PLAIN


PLAIN = "430bbe8aaa5d1a167fca9e81dbf378c22cd1a59cad7cd2505456d4a97677bdbc"


def with_bare():
    return [line | {"baseline": bare(line["prompt"])} for line in family_lines()]


def test_prompts_without_a_baseline_are_named_and_nothing_is_run(tmp_path):
    spec = scenes(tmp_path, lambda line: not line["id"].startswith("beach-ball"))
    lines = (tmp_path / "scenes.jsonl").read_text().splitlines()
    first = next(i for i, line in enumerate(lines, 1) if "baseline" not in line)
    lacking = sum("baseline" not in line for line in lines)
    for call in (("check", spec), ("run", spec, "--db", tmp_path / "r.duckdb")):
        found = invoke(*call)
        assert found.exit_code == 2
        assert (
            f"error: {spec}:10:50: {lacking} of {len(lines)} prompts of scenes.jsonl have no `baseline`, "
            f"the first on line {first}; give each line its sentence"
        ) in found.stderr
    assert not (tmp_path / "r.duckdb").exists()


@pytest.mark.parametrize(
    "value, said",
    [
        (3, "'baseline' is a number"),
        ("", "'baseline' is empty"),
        ("it is ", "'baseline' ends with white space"),
    ],
)
def test_a_baseline_is_a_text_that_an_answer_can_follow(value, said):
    lines = [line | {"baseline": value} for line in family_lines(1)]
    _, faults = complete("p", list(enumerate(lines, 1)), balanced=False)
    assert [fault.what for fault in faults] == [said] * len(lines)


def test_what_a_scene_adds_is_not_asked_of_the_variants_difference(tmp_path):
    spec = scenes(tmp_path)
    spec.write_text(SPEC.replace("beyond: baseline", "beyond: baseline, contrast: true"))
    found = invoke("check", spec)
    assert found.exit_code == 2
    assert "what a scene adds is asked of both variants of a pair" in found.stderr


def test_without_such_a_claim_no_baseline_is_asked(tmp_path):
    spec = scenes(tmp_path)
    spec.write_text("\n".join(line for line in SPEC.splitlines() if "beyond" not in line))
    run_on_organism(spec, tmp_path / "r.duckdb")
    assert query(tmp_path / "r.duckdb", "SELECT count(*) FROM baselines") == [(0,)]
    assert query(tmp_path / "r.duckdb", "SELECT count(baseline) FROM prompts")[0][0] > 0
