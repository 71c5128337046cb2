"""`harness new`: a spec that is right as it is written, whatever the prompts allow."""

import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import pytest
import yaml

from harness.pytest_plugin import _is_spec
from harness.specs.claims import in_words
from harness.specs.design import smallest_p
from harness.specs.scaffold import named
from harness.specs.scaffold_facts import PromptFacts, needed
from harness.specs.spec import json_schema
from harness.specs.spec_file import load
from harness.specs.targets import load_targets
from tests.helpers import ROOT
from tests.helpers.cli import invoke
from tests.helpers.specs import in_clusters

# Of pairs: neutral texts have no variants.
DATA = sorted(path.stem for path in (ROOT / "data").glob("*.jsonl") if path.stem != "neutral")
TARGETS = ("organism", "gemma-2-2b")
ALLOWED = ("--allow-shortcuts", "words may tell")


def write(folder, prompts, *more, question="Does it matter?"):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "new.yaml"
    given = () if "--target" in more else ("--target", "organism")
    given += ALLOWED
    found = invoke("new", question, "--prompts", prompts, "--output", path, *given, *more)
    return path, found


def lines_of(families: int, *, shared: bool) -> str:
    """A prompt file of balanced families of two pairs each."""
    lines = [
        {
            "id": f"{family}-{question}-{label}",
            "pair_id": f"{family}-{question}",
            "family": f"f{family}",
            "label": label,
            "prompt": f"{'One' if shared else label} {family} {question}: it is",
            "answer": answers[label == "misconception"],
            "expected_correct_answer": answers[0],
        }
        for family in range(families)
        for question, answers in (("speed", ("zero", "east")), ("change", ("east", "zero")))
        for label in ("correct", "misconception")
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("prompts", DATA)
def test_a_new_spec_on_every_prompt_file_passes_check(tmp_path, root, prompts, target):
    path, found = write(tmp_path, root / "data" / f"{prompts}.jsonl", "--target", target)
    assert found.exit_code == 0, found.output
    assert f"harness run {path} --target {target}" in found.output
    checked = invoke("check", path)
    assert checked.exit_code == 0, checked.output
    text = path.read_text()
    jsonschema.Draft202012Validator(json_schema()).validate(yaml.safe_load(text))
    assert text.splitlines()[0] == "# yaml-language-server: $schema=eval.schema.json"
    assert json.loads((tmp_path / "eval.schema.json").read_text()) == json_schema()
    assert f"{tmp_path / 'eval.schema.json'}: written" in found.output
    spec, plan = load(path).spec, load(path).plan(target)
    shared = len({prompt.text for prompt in plan.prompts}) < len(plan.prompts)
    assert spec.readout.at == ("answer" if shared else "last_prompt_token")
    (ablation,) = spec.ablations
    assert ablation.select.by == ("attribution" if shared else "contrast")
    assert plan.layers == (load_targets()[target].layers or tuple(range(6)))
    plain = prompts in ("prompts_physics", "reviews")
    assert spec.balance == ("none" if plain else "family")
    confirming = {plan.clusters(spec.cluster)[one] for one in plan.families("confirmation")}
    assert smallest_p(len(confirming)) <= spec.contrast.alpha
    grouped = prompts not in ("prompts_physics", "indirect_objects", "reviews")
    assert (spec.cluster, spec.split.by) == (("principle",) * 2 if grouped else ("family",) * 2)
    # Nothing is left to declare, but where groups of families are too few to be the units.
    assert ("count as independent" in checked.stderr) == (prompts == "indirect_objects")


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("families", [6, 7, 8, 11, 12, 13])
def test_few_families_leave_out_what_they_cannot_reach_and_say_why(tmp_path, families, shared):
    (tmp_path / "p.jsonl").write_text(lines_of(families, shared=shared))
    path, found = write(tmp_path / "evals", tmp_path / "p.jsonl")
    assert found.exit_code == 0, found.output
    checked = invoke("check", path)
    assert checked.exit_code == 0, checked.output
    assert "alpha 0.05" not in checked.stderr
    spec = load(path).spec
    assert spec.prompts == "p.jsonl"
    # Seven confirming families can give a p of .0156, which is enough for three claims.
    confirming = len(load(path).plan("organism").families("confirmation"))
    assert spec.order == ("fixed-sequence" if confirming == 6 else "holm")
    assert bool(spec.ablations) == (families >= 8)
    assert ("No ablations: with 8 families instead of" in path.read_text()) == (families < 8)
    assert len(spec.claims) == (3 if spec.ablations else 2)


def grouped(tag, sizes):
    """Lines whose first so many families have the tag's first value, and so on."""
    lines = map(json.loads, lines_of(sum(sizes), shared=False).splitlines())
    return "".join(json.dumps(line) + "\n" for line in in_clusters(list(lines), sizes, tag))


@pytest.mark.parametrize(
    ("sizes", "order", "edits"),
    [((2,) * 14, "holm", True), ((1, 3, 2, 2, 5, 2, 2, 2), "fixed-sequence", True), ((3,) * 6, "fixed-sequence", False)],
)  # fmt: skip
def test_families_that_share_a_tag_are_split_and_counted_by_it(tmp_path, sizes, order, edits):
    (tmp_path / "p.jsonl").write_text(grouped("topic", sizes))
    path, found = write(tmp_path, tmp_path / "p.jsonl")
    assert found.exit_code == 0, found.output
    checked = invoke("check", path)
    assert checked.exit_code == 0, checked.output
    assert "count as independent" not in checked.stderr
    spec, plan = load(path).spec, load(path).plan("organism")
    assert (spec.cluster, spec.split.by, spec.order, bool(spec.ablations)) == (
        "topic",
        "topic",
        order,
        edits,
    )
    of = plan.clusters("topic")
    sides = [{of[one] for one in plan.families(side)} for side in ("discovery", "confirmation")]
    assert not sides[0] & sides[1]
    assert len(sides[1]) >= needed()
    assert f"{len(sides[1])} topics can give no p below" in " ".join(
        path.read_text().replace("#", "").split()
    )


def test_groups_that_are_too_few_are_named_and_not_counted(tmp_path):
    (tmp_path / "p.jsonl").write_text(grouped("topic", (4, 4, 4, 4, 4)))
    path, _ = write(tmp_path, tmp_path / "p.jsonl")
    assert invoke("check", path).exit_code == 0
    spec = load(path).spec
    assert (spec.cluster, spec.split.by) == ("family", "family")
    text = path.read_text()
    assert "but 5 topics can give no p below 0.0625" in " ".join(text.replace("#", "").split())
    assert "\n# cluster: topic\n" in text


@pytest.mark.parametrize("tag", ["on", "a b: {c}", "Prinzip größer", "x\u0085y"])
def test_any_tag_is_read_as_it_is(tmp_path, tag):
    (tmp_path / "p.jsonl").write_text(grouped(tag, (2,) * 12))
    path, found = write(tmp_path, tmp_path / "p.jsonl")
    assert found.exit_code == 0, found.output
    spec = load(path).spec
    assert (spec.cluster, spec.split.by) == (tag, tag)


@pytest.mark.parametrize("shared", [False, True])
def test_claims_are_named_after_what_they_test_whatever_is_asked(tmp_path, shared):
    """The question may ask for the misconception; the claim is still that the right answer is likelier."""
    (tmp_path / "p.jsonl").write_text(lines_of(12, shared=shared))
    asked = "Does the model take weight for mass?"
    path, _ = write(tmp_path, tmp_path / "p.jsonl", question=asked)
    assert "to be yes" not in path.read_text()
    said = {claim.name: in_words(claim) for claim in load(path).spec.claims}
    first = "right-answer-likelier" if shared else "right-answer-likelier-after-correct"
    assert list(said) == [
        first, "features-tell-variants-apart", "right-answer-gains-without-top"
    ]  # fmt: skip
    assert ("difference between the variants" in said[first]) is not shared
    assert said[first].endswith("log p(right answer) - log p(misconception) is greater than 0 nats")
    assert "at least 1 feature is found" in said["features-tell-variants-apart"]
    assert "toward the right answer" in said["right-answer-gains-without-top"]


def test_too_few_families_for_any_claim_are_refused(tmp_path):
    (tmp_path / "p.jsonl").write_text(lines_of(5, shared=False))
    path, found = write(tmp_path, tmp_path / "p.jsonl")
    assert found.exit_code == 2
    assert found.stderr == (
        f"error: {tmp_path / 'p.jsonl'}: it has 5 families, and 5 can give no p below 0.0625; "
        "add families: a claim needs 6\n"
    )
    assert not path.exists()


@pytest.mark.parametrize("families", range(6, 200))
def test_the_split_leaves_enough_to_confirm(families):
    facts = PromptFacts(families, families, 0, True)
    assert facts.confirming >= needed()
    assert facts.discovery == 0 or math.ceil(facts.discovery * families) >= 2
    assert facts.discovery == 0.5 or families < 2 * needed()


def test_a_file_that_is_there_is_left_alone(tmp_path, root):
    path = tmp_path / "new.yaml"
    path.write_text("mine")
    _, found = write(tmp_path, root / "data" / "voices.jsonl")
    assert found.exit_code == 2
    assert found.stderr == (
        f"error: {path}: it is there already; name another with --output or --name\n"
    )
    assert path.read_text() == "mine"


def test_the_schema_is_copied_once_and_never_over_another(tmp_path, root):
    (tmp_path / "eval.schema.json").write_text("mine")
    _, found = write(tmp_path, root / "data" / "voices.jsonl")
    assert found.exit_code == 0
    assert "eval.schema.json" not in found.output
    assert (tmp_path / "eval.schema.json").read_text() == "mine"


def test_in_a_checkout_the_schema_is_the_packages_own(tmp_path, root, monkeypatch):
    (tmp_path / "harness").mkdir()
    schema = shutil.copy(root / "harness" / "eval.schema.json", tmp_path / "harness")
    monkeypatch.setattr("harness.specs.scaffold.PACKAGE", tmp_path / "harness")
    monkeypatch.setattr("harness.specs.scaffold.SCHEMA", Path(schema))
    path, found = write(tmp_path / "evals", root / "data" / "voices.jsonl")
    assert found.exit_code == 0
    assert path.read_text().startswith(
        "# yaml-language-server: $schema=../harness/eval.schema.json\n"
    )
    assert list(path.parent.iterdir()) == [path]


def test_a_spec_of_ones_own_is_meant_by_its_name(tmp_path, root, monkeypatch):
    """Also where the package has a spec of this name; and pytest collects it by its head."""
    monkeypatch.chdir(tmp_path)
    call = ("--target", "organism", "--prompts", root / "data" / "voices.jsonl", "--name", "pilot")
    assert invoke("new", "Is it so?", *call, *ALLOWED).exit_code == 0
    assert "evals/pilot.yaml: right; 96 families" in invoke("check", "pilot").output
    assert json.loads(invoke("plan", "pilot", "--json").output)["question"] == "Is it so?"
    no_folders = SimpleNamespace(getini=lambda _: [])
    assert _is_spec(tmp_path / "evals" / "pilot.yaml", no_folders)


@pytest.mark.parametrize(
    "question",
    [
        'What of "quotes", #hashes: and [brackets]?',
        "yes: no?",
        "Größe: größer?",
        "'single' {braces} & *stars*?",
        "two\nlines?",
        "[is it a list?]",
        "100% \\ of it?",
    ],
)
def test_any_question_is_read_as_it_was_asked(tmp_path, root, question):
    path, found = write(tmp_path, root / "data" / "voices.jsonl", question=question)
    assert found.exit_code == 0, found.output
    assert load(path).spec.question == " ".join(question.split())


def test_names_and_paths_are_made_of_what_is_given(tmp_path, root, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "my own.jsonl").write_text(lines_of(12, shared=False))
    monkeypatch.chdir(tmp_path)
    call = ("new", "Is it the voice's doing?", "--prompts", "data/my own.jsonl", "--target")
    found = invoke(*call, "organism", "--target", "gemma-3-270m", "--target", "organism", *ALLOWED)
    assert found.exit_code == 0, found.output
    spec = load("evals/is-it-the-voices-doing.yaml").spec
    assert (spec.name, spec.prompts) == ("is-it-the-voices-doing", "data/my own.jsonl")
    assert list(spec.targets) == ["organism", "gemma-3-270m"]
    assert invoke("check", "evals/is-it-the-voices-doing.yaml").exit_code == 0
    assert named("?!") == "eval"
    assert len(named("very " * 30)) <= 40


def test_a_file_of_the_same_name_beside_the_spec_is_not_taken_for_the_prompts(tmp_path):
    for folder, families in ((tmp_path / "data", 12), (tmp_path / "evals" / "data", 13)):
        folder.mkdir(parents=True)
        (folder / "p.jsonl").write_text(lines_of(families, shared=False))
    path, found = write(tmp_path / "evals", tmp_path / "data" / "p.jsonl")
    assert found.exit_code == 0, found.output
    assert len(load(path).plan("organism").sides) == 12


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("Is it?", "--target", "organsim", "--prompts", "data/voices.jsonl"),
         "error: --target organsim: there is no such target; did you mean 'organism'?"),
        (("Is it?", "--target", "organism", "--prompts", "none.jsonl"),
         "error: --prompts none.jsonl: there is no such prompt file; name a file of JSON lines"),
        (("  ", "--target", "organism", "--prompts", "data/voices.jsonl"),
         "error: QUESTION: it is empty; write a sentence that ends in a ?"),
        (("Is it?", "--target", "organism", "--prompts", "data/voices.jsonl", "--name", "a b"),
         "error: --name a b: it is no name of an eval; use letters, digits, `-`, `_` and `.`"),
        (("Is it?", "--prompts", "data/voices.jsonl"),
         "error: harness new: --target is missing; add it\nsee harness new --help"),
    ],
)  # fmt: skip
def test_wrong_calls_write_nothing(tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    found = invoke("new", *arguments)
    assert (found.exit_code, found.stderr) == (2, said + "\n")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_said(tmp_path, root):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "new.yaml"
    call = ("new", "Is it?", "--target", "organism", "--prompts", root / "data" / "voices.jsonl")
    found = invoke(*call, "--output", path, *ALLOWED)
    assert found.exit_code == 3
    assert found.stderr == (
        f"error: {path}: cannot be written: file exists; name another with --output\n"
    )


def test_prompts_that_words_tell_apart_are_refused_without_a_reason_and_the_spec_says_it(tmp_path):
    prompts, path = tmp_path / "p.jsonl", tmp_path / "new.yaml"
    prompts.write_text(lines_of(12, shared=False))
    call = ("new", "Is it?", "--target", "organism", "--prompts", prompts, "--output", path)
    for given in ((), ("--allow-shortcuts", " ")):
        found = invoke(*call, *given)
        assert found.exit_code == 2
        assert f"error: {prompts}: the variants of {prompts} are told apart" in found.stderr
        assert found.stderr.endswith("why it may be so: `--allow-shortcuts REASON`\n")
        assert not path.exists()
    assert invoke(*call, "--allow-shortcuts", 'a "voice": #1').exit_code == 0
    assert load(path).spec.shortcuts.allow == 'a "voice": #1'
    # Where nothing is told apart there is nothing to allow.
    prompts.write_text(lines_of(11, shared=False))
    path.unlink()
    assert invoke(*call, "--allow-shortcuts", "no need").exit_code == 0
    assert load(path).spec.shortcuts is None
