"""`harness new FILE.csv`: two columns become a prompt file and a spec that `check` accepts."""

import json

import pytest

from harness.specs.spec_file import load
from tests.helpers.cli import invoke

PEOPLE = [
    "Mary",
    "John",
    "Anna",
    "Paul",
    "Ruth",
    "Carl",
    "Lucy",
    "Mark",
    "Jane",
    "Eric",
    "Rose",
    "Hugh",
]
ALLOW = ("--allow-shortcuts", "who is named twice is what differs")


def names(rows=12):
    """Indirect objects: who was named once is given the thing."""
    for i in range(rows):
        a, b = PEOPLE[i], PEOPLE[(i + 5) % 12]
        start = f"When {a} and {b} went to shop {i},"
        yield f'"{start} {b} gave a drink to {a}","{start} {a} gave a drink to {b}"'


def write(folder, text):
    path = folder / "names.csv"
    path.write_text(text, encoding="utf-8")
    return path


def new(path, *more):
    return invoke(
        "new", path, "--target", "organism", "--output", path.with_suffix(".yaml"), *ALLOW, *more
    )


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
    """Spreadsheets put one before what they save as UTF-8."""
    path = write(tmp_path, "\ufeffclean,corrupted\n" + "\n".join(names()) + "\n")
    assert new(path).exit_code == 0
    assert load(tmp_path / "names.yaml").spec.contrast.of == "clean"


def test_two_columns_become_a_spec_that_is_right(tmp_path):
    path = write(tmp_path, "clean,corrupted\n" + "\n".join(names()) + "\n")
    found = new(path)
    assert found.exit_code == 0, found.output
    assert f"{tmp_path}/names.jsonl: written, 12 pairs." in found.stdout
    assert "the last word of each text is its answer" in found.stderr
    lines = [json.loads(line) for line in (tmp_path / "names.jsonl").read_text().splitlines()]
    assert len(lines) == 24
    assert lines[0] == {
        "id": "01-clean",
        "pair_id": "01",
        "label": "clean",
        "prompt": "When Mary and Carl went to shop 0, Carl gave a drink to",
        "answer": "Mary",
    }
    file = load(tmp_path / "names.yaml")
    assert (file.spec.name, file.spec.question) == ("names", "What tells clean from corrupted?")
    assert file.spec.variants.names == ("clean", "corrupted")
    text = (tmp_path / "names.yaml").read_text()
    assert "toward-clean" in text
    assert "misconception" not in text
    checked = invoke("check", tmp_path / "names.yaml")
    assert checked.exit_code == 0, checked.output
    assert "12 pairs" in checked.stdout


def test_columns_say_answers_sets_of_them_and_families(tmp_path):
    rows = [
        f"I love the film {i}. It is,I hate the film {i}. It is,good|great,bad,f{i // 2}"
        for i in range(14)
    ]
    header = "liked,hated,liked_answer,hated_answer,family"
    path = write(tmp_path, "\n".join([header, *rows]))
    found = invoke(
        "new",
        "Is it liked?",
        "--prompts",
        path,
        "--target",
        "organism",
        "--output",
        tmp_path / "n.yaml",
        *ALLOW,
    )
    assert found.exit_code == 0, found.output
    assert "last word" not in found.stderr
    lines = [json.loads(line) for line in (tmp_path / "names.jsonl").read_text().splitlines()]
    assert (lines[0]["answer"], lines[1]["answer"], lines[0]["family"]) == (
        ["good", "great"],
        "bad",
        "f0",
    )
    file = load(tmp_path / "n.yaml")
    assert file.spec.question == "Is it liked?"
    assert len({prompt.family for prompt in file.prompts}) == 7
    assert file.prompts[0].members("correct") == ("good", "great")


def test_a_cell_may_have_several_lines_and_quotes(tmp_path):
    rows = [
        f'"He said ""{i}"".\nThen it was up","He said ""{i}"".\nThen it was down"' for i in range(8)
    ]
    path = write(tmp_path, "up,down\r\n" + "\r\n".join(rows) + "\r\n\r\n")
    found = new(path)
    assert found.exit_code == 0, found.output
    first = json.loads((tmp_path / "names.jsonl").read_text().splitlines()[0])
    assert first["prompt"] == 'He said "0".\nThen it was'


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "names.csv:1: the file has no rows; begin with the names of the two variants"),
        ("clean;corrupted\nx y;x z\n", "names.csv:1: the header has one column, 'clean;corrupted'; put commas between the columns"),
        ("clean\nx y\n", "names.csv:1: the header has one column, 'clean'"),
        ("clean,corrupted\n", "names.csv:1: no row follows the header"),
        ("a text,another one\nx y,x z\n", "names.csv:1: 'a text' is no name of a variant"),
        ("clean,Clean\nx y,x z\n", "names.csv:1: both variants are called 'Clean'"),
        ("clean,corrupted,clean_anser\nx y,x z,q\n", "names.csv:1: unknown column 'clean_anser'; did you mean 'clean_answer'?"),
        ("clean,corrupted,clean_answer\nx y,x z,q\n", "names.csv:1: there is no column 'corrupted_answer'"),
        ("clean,corrupted,family,family\nx y,x z,q,r\n", "names.csv:1: column 'family' is there twice"),
        ("clean,corrupted\nx y,x z\n\nx, y and z,q\n", "names.csv:4: the row has 3 cells, and the header 2"),
        ("clean,corrupted\nx y,\n", "names.csv:2: nothing stands under corrupted"),
        ("clean,corrupted\nx y,z y\n", "names.csv:2: both texts end in 'y'"),
        ("clean,corrupted\nx,z y\n", "names.csv:2: 'x' is one word"),
        ('clean,corrupted\n"x y,z y\n', "names.csv:2: not CSV: unexpected end of data"),
        ("clean,corrupted,clean_answer,corrupted_answer\na b,c d,9,9 m\n", "names.csv:2: the answers '9' and '9 m'"),
        ("clean,corrupted,clean_answer,corrupted_answer\na b,c d,9|9,8\n", "names.csv:2: 'answer' has '9' twice"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_csv_is_said_at_its_line(tmp_path, text, said):
    path = write(tmp_path, text)
    found = new(path)
    assert found.exit_code == 2
    assert said in " ".join(found.output.split()), found.output
    assert not (tmp_path / "names.jsonl").exists()


def test_all_faulty_rows_are_named_at_once(tmp_path):
    path = write(tmp_path, "clean,corrupted\nx y,z y\nx,\n")
    found = new(path)
    assert "names.csv:2: " in found.output
    assert "names.csv:3: " in found.output


def test_what_is_there_is_left_alone(tmp_path):
    path = write(tmp_path, "clean,corrupted\n" + "\n".join(names()) + "\n")
    (tmp_path / "names.jsonl").write_text("mine\n")
    found = new(path)
    assert found.exit_code == 2
    assert "names.jsonl: it is there already, and has other prompts" in found.output
    assert (tmp_path / "names.jsonl").read_text() == "mine\n"
    (tmp_path / "names.jsonl").unlink()
    assert new(path, "--name", "one").exit_code == 0
    (tmp_path / "names.yaml").unlink()
    assert new(path).exit_code == 0, "the same prompts once more are no others"


def test_too_few_pairs_and_no_prompts_are_said(tmp_path):
    found = new(write(tmp_path, "clean,corrupted\n" + "\n".join(names(3)) + "\n"))
    assert found.exit_code == 2
    assert "it has 3 families" in found.output
    found = invoke("new", "Is it so?", "--target", "organism")
    assert found.exit_code == 2
    assert "--prompts: there is no prompt file" in found.output


def test_a_prompt_file_of_two_other_labels_is_compared_by_them(tmp_path):
    path = write(tmp_path, "clean,corrupted\n" + "\n".join(names()) + "\n")
    assert new(path).exit_code == 0
    found = invoke(
        "new", "Is it so?", "--prompts", tmp_path / "names.jsonl", "--target", "organism",
        "--output", tmp_path / "again.yaml", *ALLOW,
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    assert load(tmp_path / "again.yaml").spec.variants.names == ("clean", "corrupted")


def test_one_of_two_names_may_be_an_old_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, "\n".join(["free,correct", *names()]))
    done = invoke("new", str(path), "--target", "organism", *ALLOW)
    assert done.exit_code == 0, done.output
    spec = load(tmp_path / "evals" / "names.yaml").spec
    assert (spec.contrast.of, spec.contrast.against) == ("free", "correct")
