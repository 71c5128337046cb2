"""Sets of answers: the probability of a candidate is that of all of its members together."""

import json
import math

import numpy as np
import pytest
import torch

from harness.errors import InputError
from harness.models.loading import load_model
from harness.models.model_files import ModelFiles
from harness.paths import bundled
from harness.specs.prompt_file import load_prompts
from harness.specs.spec_file import load
from tests.helpers.cli import invoke
from tests.helpers.runs import run_on_organism
from tests.helpers.specs import family_lines, some_voices
from tests.helpers.store import query

SPEC = """\
name: sets
question: Are they added up?
targets: {organism: {layers: [1, 3]}}
prompts: few.jsonl
new_tokens: 0
contrast: {alpha: 0.3}
unadjusted: three families confirm
ablations: [{name: top, select: {top: 2, by: BY}, doses: [0], controls: 2}]
claims:
  - {name: right, behaviour: log_p_correct, direction: greater, than: -30}
  - {name: added, behaviour: logit_difference, beyond: baseline, direction: greater}
  - {name: moves, ablation: top, direction: toward-correct, beyond: zero}
  - {name: spares, specific: top, within: 9}
"""
MORE = {"upward": "up and up", "downward": "down and down", "zero": "none at all"}


def organism():
    return load_model(ModelFiles(bundled("fixtures", "organism"), "organism"))


def members(answer):
    return [answer, MORE.get(answer, f"quite {answer}")]


def lines(sets=members):
    found = []
    for line in map(json.loads, some_voices(6).splitlines()):
        wanted = {"answer": sets(line["answer"]), "baseline": "All in all it is"}
        found.append(
            line | wanted | {"expected_correct_answer": sets(line["expected_correct_answer"])}
        )
    return found


def write(folder, objects, by="contrast"):
    (folder / "few.jsonl").write_text("\n".join(map(json.dumps, objects)))
    path = folder / "sets.yaml"
    path.write_text(SPEC.replace("BY", by))
    return path


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    path = write(folder, lines())
    run_on_organism(path, folder / "r.duckdb")
    return folder / "r.duckdb", load(path).prompts


@pytest.fixture(scope="module")
def plain():
    """The log-probability of one answer after a text, by transformers alone."""
    model = organism()
    network, tokenizer = model.network, model.tokenizer

    def score(text, answer):
        both = tokenizer(f"{text} {answer}").input_ids
        bos = tokenizer.bos_token_id
        ids = torch.tensor([both if both[0] == bos else [bos, *both]])
        own = len(ids[0]) - (len(both) - len(tokenizer(text).input_ids))
        with torch.no_grad():
            logprobs = network(ids).logits[0].float().log_softmax(-1)
        return float(logprobs[torch.arange(own - 1, ids.shape[1] - 1), ids[0, own:]].sum())

    return score


def together(score, text, answers):
    return math.log(sum(math.exp(score(text, one)) for one in answers))


def test_each_candidate_is_the_sum_of_its_members_scored_alone(done, plain):
    db, prompts = done
    found = {
        row[0]: row[1:]
        for row in query(db, "SELECT prompt_id, log_p_correct, log_p_misconception FROM behaviour")
    }
    for prompt in prompts[::5]:
        for label, value in zip(("correct", "misconception"), found[prompt.id], strict=True):
            assert len(prompt.members(label)) == 2
            assert value == pytest.approx(
                together(plain, prompt.text, prompt.members(label)), abs=1e-3
            )


def test_baselines_and_untouched_replays_are_the_same_sums(done, plain):
    db, prompts = done
    by_id = {prompt.id: prompt for prompt in prompts}
    rows = query(db, "SELECT prompt_id, candidate, logprob FROM baselines LIMIT 6")
    for prompt, label, value in rows:
        expected = together(plain, by_id[prompt].baseline, by_id[prompt].members(label))
        assert value == pytest.approx(expected, abs=1e-3)
    sql = (
        "SELECT DISTINCT m.prompt_id, m.metric, m.baseline, b.log_p_correct, b.log_p_misconception "
        "FROM impacts m JOIN behaviour b USING (run_id, prompt_id) WHERE m.metric LIKE 'log_p_%'"
    )
    for _, metric, before, correct, other in query(db, sql):
        assert before == pytest.approx(correct if metric == "log_p_correct" else other, abs=1e-4)


def test_every_member_has_its_tokens(done):
    db, prompts = done
    rows = query(
        db,
        "SELECT prompt_id, candidate, member, string_agg(token, '' ORDER BY token_index) FROM answers GROUP BY ALL",
    )
    told = {(prompt, candidate, member): text.strip() for prompt, candidate, member, text in rows}
    for prompt in prompts:
        for label in ("correct", "misconception"):
            for number, one in enumerate(prompt.members(label)):
                assert told[prompt.id, label, number] == one
    ((members_edited,),) = query(db, "SELECT count(DISTINCT member) FROM impact_tokens")
    assert members_edited == 2


def test_edited_sums_are_those_of_the_edited_tokens(done):
    db, _ = done
    sql = """
    WITH members AS (
        SELECT intervention_id, prompt_id, candidate, member, sum(edited) AS log_p
        FROM impact_tokens GROUP BY ALL
    ), sums AS (
        SELECT intervention_id, prompt_id, candidate, ln(sum(exp(log_p))) AS log_p FROM members GROUP BY ALL
    )
    SELECT m.edited, s.log_p FROM sums s JOIN impacts m USING (intervention_id, prompt_id)
    WHERE m.metric = 'log_p_' || s.candidate
    """
    rows = np.array(query(db, sql))
    assert len(rows) > 20
    assert np.allclose(rows[:, 0], rows[:, 1], atol=1e-4)


@pytest.mark.slow
def test_attribution_goes_through_the_sum(tmp_path):
    """What the steepest features are is asked of all members: a member of next to no weight changes nothing."""
    found = []
    unlikely = (
        "seventeen purple elephants dancing on a very long and winding staircase made of cheese"
    )
    for name, sets in (("one", lambda a: a), ("two", lambda a: [a, f"{unlikely} {a}"])):
        folder = tmp_path / name
        folder.mkdir()
        run_on_organism(write(folder, lines(sets), "attribution"), folder / "r.duckdb")
        rows = query(
            folder / "r.duckdb",
            "SELECT family, layer, feature, predicted FROM attributions ORDER BY ALL",
        )
        found.append({row[:3]: row[3] for row in rows})
    shared = found[0].keys() & found[1].keys()
    assert len(shared) > 50
    one, two = ([some[key] for key in sorted(shared)] for some in found)
    assert np.allclose(one, two, atol=2e-3)


def test_a_run_reads_its_sets_back_from_the_store(done):
    from harness.store.database import Store
    from harness.store.prompts import stored_prompts

    db, prompts = done
    with Store.open_to_read(db) as store:
        ((run,),) = store.query("SELECT run_id FROM runs")[1]
        assert stored_prompts(store, run) == prompts


@pytest.mark.parametrize(
    "answer, said",
    [
        (["not zero", "not zero at all"], "'not zero' and 'not zero at all' of one answer of pair '0-velocity' begin alike"),
        (["not zero", "zero"], "the answers of pair '0-velocity' look the same: 'zero'"),
        (["not zero", "zero at last"], "the answers 'zero' and 'zero at last' of pair '0-velocity' begin alike"),
        (["not zero", "not zero"], "2: 'answer' has 'not zero' twice"),
        ([], "2: 'answer' is an empty list"),
        (["not zero", 7], "2: 'answer' is a number"),
        (["not zero", " "], "2: 'answer' is empty"),
    ],
)  # fmt: skip
def test_what_no_set_may_hold_is_refused(tmp_path, answer, said):
    objects = family_lines()
    objects[1]["answer"] = answer
    path = tmp_path / "p.jsonl"
    path.write_text("\n".join(map(json.dumps, objects)))
    with pytest.raises(InputError) as caught:
        load_prompts(path)
    assert any(said in str(fault) for fault in caught.value.faults), caught.value


def test_members_that_begin_each_other_in_tokens_are_refused(tmp_path):
    objects = [
        line | {"answer": ["7", "70"]} if line["label"] == "misconception" else line
        for line in family_lines()
    ]
    (tmp_path / "few.jsonl").write_text("\n".join(map(json.dumps, objects)))
    path = tmp_path / "x.yaml"
    path.write_text(
        "name: x\nquestion: Is it so?\ntargets: {organism: {layers: none}}\nprompts: few.jsonl\nbalance: none\n"
        "shortcuts: {allow: a test}\nclaims: [{name: a, behaviour: logit_difference, direction: greater}]\n"
    )
    found = invoke("check", path)
    tokens = organism().tokens("It is", "7", "70").answers
    begins = tokens[1][: len(tokens[0])] == tokens[0]
    assert ("'7' begins '70' in the tokens of organism" in found.output) == begins
