"""Commands about specs: what is right is said, what is wrong is named, nothing heavy is imported."""

import json
import subprocess
import sys

import pytest

import harness
from tests.helpers.cli import invoke
from tests.helpers.specs import BEHAVIOUR_SPEC, family_lines, in_clusters, without_words


def test_check_says_what_is_right(root):
    evals = sorted((root / "evals").glob("*.yaml"))
    found = invoke("check", *evals)
    assert found.exit_code == 0, found.output
    assert found.output.count(": right; ") == len(evals) > 4
    assert "80 families (32 discover, 48 confirm), 384 pairs" in found.output


def test_check_names_faults_of_all_files_and_exits_with_2(tmp_path, root):
    (tmp_path / "a.yaml").write_text("nam: x\n")
    found = invoke("check", tmp_path / "a.yaml", tmp_path / "none.yaml", "voices")
    assert found.exit_code == 2
    assert (
        f"error: {tmp_path / 'a.yaml'}:1:1: unknown key 'nam'; did you mean 'name'?" in found.output
    )
    assert f"error: {tmp_path / 'none.yaml'}: there is no such spec" in found.output
    assert "voices.yaml: right" in found.output


def test_check_refuses_claims_out_of_reach(tmp_path, prompt_lines):
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, prompt_lines)))
    (tmp_path / "a.yaml").write_text(
        "name: a\nquestion: Is it?\ntargets: {organism: {layers: all}}\nprompts: p.jsonl\n"
        "claims:\n  - {name: c, behaviour: logit_difference, direction: greater}\n"
    )
    found = invoke("check", tmp_path / "a.yaml")
    assert found.exit_code == 2
    assert "claim 'c' cannot reach alpha 0.05" in found.output


def test_check_and_plan_say_what_clustered_families_are_worth(tmp_path):
    lines = without_words(in_clusters(family_lines(12), (4, 2, 1, 1, 2, 2)))
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    spec = tmp_path / "demo.yaml"
    spec.write_text(BEHAVIOUR_SPEC + "split: {discovery: 0}\n")
    found = invoke("check", spec)
    assert found.exit_code == 0
    assert (
        "note: demo: 12 families of 6 principles confirm and count as independent" in found.stderr
    )
    spec.write_text(BEHAVIOUR_SPEC + "split: {discovery: 0}\ncluster: principle\n")
    found = invoke("check", spec)
    said = "principle: 12 families of 6 principles confirm, worth 5.85 independent ones"
    assert f"\n  {said} at a correlation of 0.7\n" in found.stdout
    assert "note:" not in found.output
    (checked,) = json.loads(invoke("check", spec, "--json").output)["specs"]
    (clusters,) = checked["clusters"]
    assert (clusters["clusters"], round(clusters["effective"], 2)) == (6, 5.85)
    planned = json.loads(invoke("plan", spec, "--json").output)
    assert planned["smallest p"] == 2.0**-5
    assert planned["principles needed"] == 6
    assert planned["clusters"] == [f"{said} at a correlation of 0.7"]
    spec.write_text(BEHAVIOUR_SPEC + "split: {discovery: 0.5}\ncluster: principle\n")
    found = invoke("check", spec)
    assert found.exit_code == 2
    assert "principles can give no p below" in found.output
    assert "it needs 6 principles on the confirming side" in found.output


def test_check_imports_nothing_heavy(root):
    """Nor does collecting claims; see test_pytest_plugin.

    Where there are families enough for shortcut scores, what computes these is imported and no more.
    """
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom harness.cli import main\n"
        "for call in (['check', 'pilot'], ['targets'], ['schema'], ['-h'],\n"
        "             ['run', '-h'], ['sql', '--list']):\n"
        "    assert CliRunner().invoke(main, call).exit_code == 0, call\n"
        "heavy = {'torch', 'transformers', 'numpy', 'scipy', 'duckdb', 'pandas', 'rich',\n"
        "         'statsmodels', 'sklearn'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "assert CliRunner().invoke(main, ['check', 'placebo']).exit_code == 0\n"
        "print(sorted({'torch', 'transformers', 'duckdb', 'statsmodels', 'sklearn'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["[]", "[]"]


def test_plan_shows_what_a_run_would_do():
    facts = json.loads(invoke("plan", "voices", "--target", "organism", "--json").output)
    assert facts["layers"] == [0, 1, 2, 3, 4, 5]
    assert (len(facts["discovery"]), len(facts["confirmation"])) == (32, 48)
    assert not set(facts["discovery"]) & set(facts["confirmation"])
    assert "known-features-found" in facts["claims"]
    facts = json.loads(invoke("plan", "voices", "--target", "gemma-2-2b", "--json").output)
    assert "known-features-found" not in facts["claims"]
    assert invoke("plan", "voices", "--target", "gemma").exit_code == 2


def write_answers(folder, one, other, target="organism", balance="none"):
    """A spec about behaviour whose pairs have these two answers, in turn right and wrong."""
    names = {"zero": one, "not zero": other}
    lines = [
        line | {key: names[line[key]] for key in ("answer", "expected_correct_answer")}
        for line in family_lines(8)
    ]
    (folder / "prompts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    spec = BEHAVIOUR_SPEC.replace("organism: {layers: [0, 1]}", f"{target}: {{layers: none}}")
    (folder / "demo.yaml").write_text(f"{spec}balance: {balance}\nsplit: {{discovery: 0}}\n")
    return folder / "demo.yaml"


ALIKE = "'{}' begins '{}' in the tokens of organism, and is the likelier by construction"


@pytest.mark.parametrize("balance", ["none", "family"])
@pytest.mark.parametrize(
    "one, other", [("1", "10"), ("9", "9.8"), ("down", "down-left"), ("zero", "zero.")]
)
def test_answers_of_which_one_begins_the_other_are_refused(tmp_path, one, other, balance):
    found = invoke("check", write_answers(tmp_path, one, other, balance=balance))
    assert found.exit_code == 2
    # Each pair once, at its first line.
    places = [f"error: {tmp_path / 'prompts.jsonl'}:{line}: " for line in (1, 3, 5)]
    assert all(place + ALIKE.format(one, other) in found.output for place in places)
    assert f"prompts.jsonl:2: {ALIKE.format(one, other)}" not in found.output


@pytest.mark.parametrize("one, other", [("10", "12"), ("zero", "not zero"), ("down", "up")])
def test_answers_that_only_begin_alike_are_right(tmp_path, one, other):
    assert invoke("check", write_answers(tmp_path, one, other)).exit_code == 0


def test_where_the_tokenizer_is_not_here_check_says_what_a_run_will_decide(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "none"))
    spec = write_answers(tmp_path, "1", "10", target="gemma-2-2b")
    found = invoke("check", spec)
    assert found.exit_code == 0
    assert "note: " in found.output
    assert "in lines 1, 3, 5, 7, 9 and 11 more one answer begins the other" in found.output
    (facts,) = json.loads(invoke("check", spec, "--json").output)["specs"]
    assert "the tokenizer of gemma-2-2b is not here" in facts["notes"][0]
    (facts,) = json.loads(invoke("check", "pilot", "--json").output)["specs"]
    assert facts["notes"] == ["pilot: 11 families are too few for a shortcut score (12)"]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"order": "fixed-sequence"},
        {"select": {"top": 2, "by": "contrast", "rank": "size"}},
        {"directions": 19},
        {"claim": {"keeps": 1.0}},
        {"claims": [{"name": "closes", "share": "top", "than": 0.2}]},
        {"claims": [{"name": "none", "features": "significant", "at_most": 0, "guard": True}]},
    ],
)
def test_meanings_that_changed_are_noted_of_specs_that_may_be_older(tmp_path, more):
    """One that says what came with them, or later, was written for them."""
    top = {"name": "top", "select": more.get("select", {"top": 2, "by": "contrast"})}
    top |= {key: more[key] for key in ("directions",) if key in more}
    claim = {"name": "matters", "ablation": "top", "direction": "toward-correct"}
    claims = [claim | more.get("claim", {}), *more.get("claims", ())]
    order = {key: more[key] for key in ("order",) if key in more}
    path = write_claims(tmp_path, 20, ablations=[top], claims=claims, **order)
    (facts,) = json.loads(invoke("check", path, "--json").output)["specs"]
    assert facts["right"], facts["faults"]
    told = ["matters holds beyond controls", "top has 99 sets of controls", "top selects by size"]
    assert len(facts["notes"]) == (0 if more else 3)
    for note, words in zip(facts["notes"], told, strict=False):
        assert note.startswith(f"four: {words}")


def test_the_notes_of_a_bundled_spec_are_of_claims_that_depend_on_others():
    (facts,) = json.loads(invoke("check", "voices", "--json").output)["specs"]
    # On the targets of which no truth is known one claim fewer is made.
    told = (
        "voices: top-features-matter (smallest p 0.01) reaches alpha 0.05 over {} claims only where"
    )
    notes = [note for note in facts["notes"] if "reach" in note]
    assert len(notes) == 2
    for claims, note in zip((8, 9), notes, strict=True):
        assert note.startswith(told.format(claims))


FOUR = [
    {"name": "moved", "behaviour": "logit_difference", "direction": "greater"},
    *({"name": name, "ablation": "top", "direction": "toward-correct"} for name in ("a", "b")),
    {"name": "exist", "features": "significant", "at_least": 1},
]


def write_claims(folder, families, controls=99, **fields):
    lines = without_words(family_lines(families))
    (folder / "p.jsonl").write_text("\n".join(map(json.dumps, lines)))
    spec = {
        "name": "four",
        "question": "Is it?",
        "targets": {"organism": {"layers": [1]}},
        "prompts": "p.jsonl",
        "ablations": [
            {"name": "top", "select": {"top": 2, "by": "contrast"}, "controls": controls}
        ],
        "claims": FOUR,
    }
    path = folder / "four.yaml"
    path.write_text(json.dumps(spec | fields))  # which YAML reads
    return path


def test_claims_that_cannot_all_reach_alpha_are_said_with_what_to_do(tmp_path):
    path = write_claims(tmp_path, 14)
    found = invoke("check", path)
    assert found.exit_code == 2
    assert (
        "its 4 claims cannot all reach alpha 0.05: moved has p_holm 0.0625 at best (from p 0.0156), "
        "a has p_holm 0.0625 at best (from p 0.0156), b has p_holm 0.0625 at best (from p 0.0156) and 1 "
        "more; it needs 8 families on the confirming side, 16 in all, or `split: {discovery: 0.42}`, or "
        "declare `order: fixed-sequence`, or say why not in `unadjusted:`"
    ) in found.stderr
    planned = json.loads(invoke("plan", path, "--json").output)
    assert planned["reach"] == dict.fromkeys(("moved", "a", "b", "exist"), 0.0625)
    (said,) = planned["out of reach"]
    assert said.startswith("four: its 4 claims cannot all reach alpha")
    assert "out of reach  four: its 4 claims" in invoke("plan", path).output
    assert invoke("check", write_claims(tmp_path, 16)).exit_code == 0
    assert invoke("check", write_claims(tmp_path, 14, order="fixed-sequence")).exit_code == 0
    assert "out of reach" not in invoke("plan", path).output


def test_a_claim_that_reaches_alpha_only_where_others_do_is_noted(tmp_path):
    path = write_claims(tmp_path, 20, controls=59)
    found = invoke("check", path)
    assert found.exit_code == 0
    note = (
        "four: a (smallest p 0.0167), b (smallest p 0.0167) reach alpha 0.05 over 4 claims only where "
        "1 other does; ask for 79 controls, or declare"
    )
    assert f"note: {note}" in found.stderr
    (said,) = json.loads(invoke("plan", path, "--json").output)["out of reach"]
    assert said.startswith(note)
    alone = invoke("check", write_claims(tmp_path, 20, controls=59, unadjusted="one each"))
    assert (alone.exit_code, "reach alpha" in alone.stderr) == (0, False)


def test_a_run_refuses_answers_of_which_one_begins_the_other(tmp_path):
    spec = write_answers(tmp_path, "9", "9.8")
    with pytest.raises(harness.InputError) as raised:
        harness.run(spec, target="organism", db=tmp_path / "r.duckdb")
    said = [str(fault) for fault in raised.value.faults]
    assert len(said) == 16
    assert said[0].startswith(f"{tmp_path / 'prompts.jsonl'}:1: {ALIKE.format('9', '9.8')}")
    assert not (tmp_path / "r.duckdb").exists()


def test_a_run_names_the_line_of_a_prompt_without_tokens(tmp_path):
    spec = write_answers(tmp_path, "up", "<eos>")
    with pytest.raises(harness.InputError, match=r"prompts.jsonl:1, prompt .* special token"):
        harness.run(spec, target="organism", db=tmp_path / "r.duckdb")


def test_no_spec_is_written_for_answers_of_which_one_begins_the_other(tmp_path, monkeypatch):
    write_answers(tmp_path, "1", "10")
    monkeypatch.chdir(tmp_path)
    found = invoke("new", "Is it?", "--target", "organism", "--prompts", "prompts.jsonl")
    assert found.exit_code == 2
    assert f"prompts.jsonl:1: {ALIKE.format('1', '10')}" in found.output
    assert not (tmp_path / "evals").exists()


def test_prompts_that_words_tell_apart_are_refused_by_check_and_run_unless_allowed(tmp_path):
    path = write_claims(tmp_path, 16)
    assert invoke("check", path).exit_code == 0
    words = "\n".join(map(json.dumps, family_lines(16)))
    (tmp_path / "p.jsonl").write_text(words)
    db = tmp_path / "r.duckdb"
    for call in (("check", path), ("run", path, "--target", "organism", "--db", db)):
        found = invoke(*call)
        assert found.exit_code == 2
        assert f"error: {path}:1:" in found.stderr
        assert "the variants of p.jsonl are told apart without any model" in found.stderr
        assert not db.exists()
    (facts,) = json.loads(invoke("check", path, "--json").stdout)["specs"]
    assert not facts["right"]
    assert max(one["score"] for one in facts["shortcuts"]["scores"]) == 1.0
    path = write_claims(tmp_path, 16, shortcuts={"allow": "it has to be said"})
    (tmp_path / "p.jsonl").write_text(words)
    found = invoke("check", path)
    assert found.exit_code == 0
    assert "note: four: shortcuts are allowed (it has to be said): " in found.stderr
    assert "  shortcuts: " in found.stdout


def test_a_shortcut_that_is_allowed_is_no_mapping_without_a_reason(tmp_path):
    for given, said in (
        ({}, "'allow' is missing"),
        ({"allow": ""}, "allow"),
        ({"alow": "x"}, "allow'?"),
    ):
        found = invoke("check", write_claims(tmp_path, 16, shortcuts=given))
        assert found.exit_code == 2
        assert said in found.stderr
