"""Wrong specs and prompts: the whole of what is said, line by line."""

import json

import pytest

from tests.helpers.cli import invoke
from tests.helpers.specs import without_words

SPEC = """\
name: demo
question: Is it so?
targets:
  organism: {layers: [0, 1]}
prompts: prompts.jsonl
readout: {at: last_prompt_token}
ablations:
  - {name: top, select: {by: contrast}, kind: zero}
claims:
  - {name: moved, behaviour: logit_difference, direction: greater}
  - {name: matters, ablation: top, direction: toward-correct}
order: fixed-sequence
"""


@pytest.fixture
def folder(tmp_path):
    """A right spec and its prompts, twelve balanced families."""
    (tmp_path / "demo.yaml").write_text(SPEC)
    write_prompts(tmp_path, without_words(lines()))
    return tmp_path


def lines():
    return [
        {
            "id": f"{family}{question}{label[0]}",
            "pair_id": f"{family}{question}",
            "family": f"f{family}",
            "label": label,
            "prompt": f"{label} {family} {question}",
            "answer": answers[label == "misconception"],
            "expected_correct_answer": answers[0],
        }
        for family in range(12)
        for question, answers in (("v", ("zero", "east")), ("a", ("east", "zero")))
        for label in ("correct", "misconception")
    ]


def write_prompts(folder, content):
    text = "".join(json.dumps(line) + "\n" for line in content)
    (folder / "prompts.jsonl").write_text(text)


def check(folder):
    found = invoke("check", folder / "demo.yaml")
    said = [line for line in found.stderr.splitlines(True) if not line.startswith("note: ")]
    assert found.exit_code == (2 if said else 0)
    return "".join(said).replace(f"{folder}/", "")


def test_the_spec_that_is_made_wrong_below_is_right(folder):
    assert check(folder) == ""


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("question:", "qestion:", """\
error: demo.yaml:1:1: 'question' is missing; add it
  1 | name: demo
    | ^^^^
error: demo.yaml:2:1: unknown key 'qestion'; did you mean 'question'?
  2 | qestion: Is it so?
    | ^^^^^^^
"""),
        ("name: demo", "name: a b", """\
error: demo.yaml:1:1: name is 'a b'; use letters and digits, and `-`, `_` or `.` between them
  1 | name: a b
    | ^^^^
"""),
        ("name: demo", "name: demo\nname: again", """\
error: demo.yaml:2:1: key 'name' is given twice, first at 1:1; keep one
  2 | name: again
    | ^^^^
"""),
        ("organism:", "organsim:", """\
error: demo.yaml:4:3: unknown target 'organsim'; did you mean 'organism'?
  4 |   organsim: {layers: [0, 1]}
    |   ^^^^^^^^
"""),
        ("[0, 1]", "[0, x]", """\
error: demo.yaml:4:26: layers: input should be a valid integer; it is "x"
  4 |   organism: {layers: [0, x]}
    |                          ^
"""),
        ("[0, 1]", "[0, 9]", """\
error: demo.yaml:4:14: organism has no layer 9; name layers from 0 to 5
  4 |   organism: {layers: [0, 9]}
    |              ^^^^^^
"""),
        ("layers: [0, 1]", "layers: [0, 1], widht: 1k", """\
error: demo.yaml:4:30: unknown key 'widht'; did you mean 'width'?
  4 |   organism: {layers: [0, 1], widht: 1k}
    |                              ^^^^^
"""),
        ("[0, 1]}", "[0, 1}", """\
error: demo.yaml:4:27: not YAML: expected ',' or ']', but got '}'; correct the line
  4 |   organism: {layers: [0, 1}
    |                           ^
"""),
        ("at: last_prompt_token", "at: last_token", """\
error: demo.yaml:6:11: at is 'last_token'; did you mean 'last_user_token'?
  6 | readout: {at: last_token}
    |           ^^
"""),
        ("at: last_prompt_token", "at: answer", """\
error: demo.yaml:8:26: features read at the answer fire after its first token is decided, so removing them \
there is zero by construction; select `by: attribution`, or ask a second question in the prompt and read at \
its last_prompt_token
  8 |   - {name: top, select: {by: contrast}, kind: zero}
    |                          ^^
"""),
        ("kind: zero", "kind: [zero]", """\
error: demo.yaml:8:41: kind is ["zero"]; write it without brackets
  8 |   - {name: top, select: {by: contrast}, kind: [zero]}
    |                                         ^^^^
"""),
        ("kind: zero", "kind: 0", """\
error: demo.yaml:8:41: kind is 0; use one of zero, mean, resample, clamp, scale, steer, direction
  8 |   - {name: top, select: {by: contrast}, kind: 0}
    |                                         ^^^^
"""),
        ("kind: zero", "kind: scale", """\
error: demo.yaml:8:41: scale needs a value; give `value`
  8 |   - {name: top, select: {by: contrast}, kind: scale}
    |                                         ^^^^
"""),
        ("kind: zero", "positions: [3, 400]", """\
error: demo.yaml:8:41: no prompt has a token 400: the longest has 19 bytes; count from 1 at the beginning, \
or from -1 at the end
  8 |   - {name: top, select: {by: contrast}, positions: [3, 400]}
    |                                         ^^^^^^^^^
"""),
        ("by: contrast", "by: contrast, steps: 5", """\
error: demo.yaml:8:40: steps is not used with `by: contrast`; drop it
  8 |   - {name: top, select: {by: contrast, steps: 5}, kind: zero}
    |                                        ^^^^^
"""),
        ("by: contrast", "by: attribution, steps: 5", """\
error: demo.yaml:8:43: steps is not used with `method: gradient`; drop it
  8 |   - {name: top, select: {by: attribution, steps: 5}, kind: zero}
    |                                           ^^^^^
"""),
        ("by: contrast", "by: truth, method: gradient", """\
error: demo.yaml:8:37: method is not used with `by: truth`; drop it
  8 |   - {name: top, select: {by: truth, method: gradient}, kind: zero}
    |                                     ^^^^^^
"""),
        ("by: contrast", "by: list, top: 3, features: {0: [5]}", """\
error: demo.yaml:8:36: top is not used with `by: list`; drop it
  8 |   - {name: top, select: {by: list, top: 3, features: {0: [5]}}, kind: zero}
    |                                    ^^^
"""),
        ("by: contrast", "by: list, features: {4: [5]}", """\
error: demo.yaml:8:36: layer 4 is not among those that are read on organism; use 0, 1, or add it to the \
target's layers
  8 |   - {name: top, select: {by: list, features: {4: [5]}}, kind: zero}
    |                                    ^^^^^^^^
"""),
        ("behaviour:", "behavior:", """\
error: demo.yaml:10:5: a claim is about one of behaviour, features, ablation, share, monotone, specific, collateral, decoy, stable, complement, needed, tokens, crossfit or transfers; did you mean 'behaviour'?
  10 |   - {name: moved, behavior: logit_difference, direction: greater}
     |     ^
"""),
        ("direction: greater", "direction: greater, within: 1", """\
error: demo.yaml:10:5: the claim has no direction, or one and a margin; give direction or within
  10 |   - {name: moved, behaviour: logit_difference, direction: greater, within: 1}
     |     ^
"""),
        ("direction: greater", "direction: greater, only: [organsm]", """\
error: demo.yaml:10:68: 'organsm' is not among the targets; did you mean 'organism'?
  10 |   - {name: moved, behaviour: logit_difference, direction: greater, only: [organsm]}
     |                                                                    ^^^^
"""),
        ("ablation: top", "ablation: tpo", """\
error: demo.yaml:11:21: there is no ablation 'tpo'; did you mean 'top'?
  11 |   - {name: matters, ablation: tpo, direction: toward-correct}
     |                     ^^^^^^^^
"""),
        ("name: matters", "name: moved", """\
error: demo.yaml:11:6: 'moved' is used twice; rename one
  11 |   - {name: moved, ablation: top, direction: toward-correct}
     |      ^^^^
"""),
        ("name: matters", "name: Moved", """\
error: demo.yaml:11:6: 'Moved' differs from 'moved' only in case; rename one
  11 |   - {name: Moved, ablation: top, direction: toward-correct}
     |      ^^^^
"""),
        ("organism: {layers: [0, 1]}", "Organism: {model: a/b, sae: c/d, layers: [0, 1]}", """\
error: demo.yaml:4:3: 'Organism' differs from the known target 'organism' only in case; rename it, or write it alike
  4 |   Organism: {model: a/b, sae: c/d, layers: [0, 1]}
    |   ^^^^^^^^
"""),
        ("prompts.jsonl", "none.jsonl", """\
error: demo.yaml:5:1: there is no prompt file none.jsonl; put it beside the spec, in PARENT, or in the working \
directory
  5 | prompts: none.jsonl
    | ^^^^^^^
"""),
        ("kind: zero", "kind: zero, controls: 5", """\
error: demo.yaml:11:5: claim 'matters' cannot reach alpha 0.05: its rank among 5 controls can give no p below \
0.167; ask for 19 controls
  11 |   - {name: matters, ablation: top, direction: toward-correct}
     |     ^
"""),
    ],
)  # fmt: skip
def test_a_wrong_spec_is_answered_with_its_line_a_mark_and_a_remedy(folder, old, new, said):
    assert SPEC.count(old) == 1, "the test's own"
    (folder / "demo.yaml").write_text(SPEC.replace(old, new))
    assert check(folder) == said.replace("PARENT", str(folder.parent))


def test_what_cannot_be_read_and_what_contradicts_come_at_once(folder):
    """Types, contradictions, targets and prompts; the harmless in place of a faulty part adds nothing."""
    text = SPEC.replace("kind: zero", "kind: nil").replace("ablation: top", "ablation: topp")
    text = text.replace("direction: greater", "direction: up").replace("readout:", "redout:")
    text = text.replace("[0, 1]}", "[0, 1]}\n  gemma: {layers: all}\n  gemma-2-2b: {layer: 3}")
    text = text.replace("order:", "  - {name: moved, features: significant}\norder:")
    (folder / "demo.yaml").write_text(text)
    wrong = lines()
    wrong[3] |= {"label": "misconceptoin"}
    write_prompts(folder, wrong)
    said = [line for line in check(folder).splitlines() if line.startswith("error")]
    assert said == [
        "error: demo.yaml:5:3: unknown target 'gemma'; did you mean 'gemma-3-4b'?",
        "error: demo.yaml:6:16: unknown key 'layer'; did you mean 'layers'?",
        "error: demo.yaml:8:1: unknown key 'redout'; did you mean 'readout'?",
        "error: demo.yaml:10:41: kind is 'nil'; use one of clamp, direction, mean, resample, scale, "
        "steer, zero",
        "error: demo.yaml:12:48: direction is 'up'; use one of greater, less",
        "error: demo.yaml:13:21: there is no ablation 'topp'; did you mean 'top'?",
        "error: demo.yaml:14:6: 'moved' is used twice; rename one",
        "error: demo.yaml:14:19: the count has no bound, or two; give at_least or at_most",
        "error: prompts.jsonl:4: unknown label 'misconceptoin'; did you mean 'misconception'?",
    ]


@pytest.mark.parametrize("part", ["targets", "ablations", "claims"])
@pytest.mark.parametrize("wrong", ["7", "[]", "{}", "[[]]", "[7]", "x", "null", "{a: 7}", "[{}]"])
def test_whatever_stands_in_a_part_is_answered_in_lines(folder, part, wrong):
    """Each of them is a fault, at its place, and nothing else about the other parts is made up."""
    begin, end = SPEC.index(part), SPEC.find("\n", SPEC.index(part)) + 1
    rest = SPEC[end:].lstrip()
    while rest.startswith(("-", "organism")):
        rest = rest.partition("\n")[2].lstrip()
    (folder / "demo.yaml").write_text(SPEC[:begin] + f"{part}: {wrong}\n" + rest)
    said = check(folder)
    if (part, wrong) == ("ablations", "[]"):
        assert [line for line in said.splitlines() if line.startswith("error")] == [
            "error: demo.yaml:10:21: there is no ablation 'top'; write it under `ablations`"
        ]
    else:
        line = SPEC[:begin].count("\n") + 1
        faults = [one for one in said.splitlines() if one.startswith("error")]
        assert faults
        assert all(one.startswith(f"error: demo.yaml:{line}:") for one in faults), said


@pytest.mark.parametrize(
    "number, change, said",
    [
        (3, {"label": "misconceptoin"}, """\
error: prompts.jsonl:4: unknown label 'misconceptoin'; did you mean 'misconception'?
  4 | …0a", "family": "f0", "label": "misconceptoin", "prompt": "misconception 0 a", "answer": "ze…
    |                                ^^^^^^^^^^^^^^^
"""),
        (0, {"promt": "x"}, """\
error: prompts.jsonl:1: unknown field 'promt'; did you mean 'prompt'?
  1 | … "prompt": "correct 0 v", "answer": "zero", "expected_correct_answer": "zero", "promt": "x"}
    |                                                                                 ^^^^^^^
"""),
        (0, {"id": "0am"}, """\
error: prompts.jsonl:4: id '0am' is used on line 1 already; give each prompt its own id
  4 | {"id": "0am", "pair_id": "0a", "family": "f0", "label": "misconception", "prompt": "misconce…
    |        ^^^^^
"""),
        (1, {"answer": "east "}, """\
error: prompts.jsonl:2: 'answer' begins or ends with a space; remove it
  2 | …ption", "prompt": "misconception 0 v", "answer": "east ", "expected_correct_answer": "zero"}
    |                                         ^^^^^^^^
"""),
    ],
)  # fmt: skip
def test_a_wrong_prompt_is_answered_with_its_line_a_mark_and_a_remedy(folder, number, change, said):
    wrong = lines()
    wrong[number] |= change
    write_prompts(folder, wrong)
    assert check(folder) == said


def test_a_line_that_is_not_json_is_shown_without_its_escape_sequences(folder):
    with (folder / "prompts.jsonl").open("a") as file:
        file.write('{"id": "x", }\n\x1b[31m[]\n')
    assert check(folder).splitlines()[:3] == [
        "error: prompts.jsonl:49:13: not JSON: Illegal trailing comma before end of object; write one object "
        "a line"
        if "trailing" in check(folder)
        else "error: prompts.jsonl:49:13: not JSON: Expecting property name enclosed in double quotes; write "
        "one object a line",
        '  49 | {"id": "x", }',
        "     |             ^",
    ]
    assert "\x1b" not in check(folder), "a file's escape sequences are not the terminal's"


def test_of_many_faults_in_a_file_the_first_are_printed_and_the_others_counted(folder):
    wrong = [line | {"answer": " "} for line in lines()]
    write_prompts(folder, wrong)
    (folder / "demo.yaml").write_text(SPEC.replace("question:", "qestion:"))
    said = check(folder).splitlines()
    assert sum(line.startswith("error: prompts.jsonl:") for line in said) == 20
    assert sum(line.startswith("error: demo.yaml:") for line in said) == 2, (
        "other files have theirs"
    )
    assert said[-1] == "and 28 more in prompts.jsonl"
    told = json.loads(invoke("check", folder / "demo.yaml", "--json").stdout)
    assert len(told["specs"][0]["faults"]) == 50


@pytest.mark.parametrize("width", [60, 80, 140])
def test_an_excerpt_fits_the_terminal_and_its_mark_the_place(folder, monkeypatch, width):
    wrong = lines()
    wrong[3] |= {"label": "misconceptoin"}
    write_prompts(folder, wrong)
    monkeypatch.setattr("harness.reports.terminal.width.terminal_columns", lambda _: width)
    _, line, mark = check(folder).splitlines()
    assert max(len(line), len(mark)) <= width
    assert line[mark.index("^") : mark.rindex("^") + 1] == '"misconceptoin"'


def test_a_spec_of_too_many_parts_is_refused_at_once(folder):
    claims = "".join(f"  - {{name: c{i}, ablation: a{i}}}\n" for i in range(501))
    (folder / "demo.yaml").write_text(SPEC.partition("  - {name: moved")[0] + claims)
    assert "demo.yaml:9:1: claims has more than 500; make several specs of it" in check(folder)
