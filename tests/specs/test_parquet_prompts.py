"""A Parquet prompt file is the JSON lines file of the same rows, faults and all."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.errors import InputError
from harness.specs import parquet_rows
from harness.specs.prompt_file import load_prompts
from tests.helpers.specs import family_lines


def written(folder: Path, lines, **columns):
    table = pa.Table.from_pylist(lines)
    for name, values in columns.items():
        table = table.append_column(name, values)
    pq.write_table(table, folder / "p.parquet", row_group_size=5)
    return folder / "p.parquet"


def as_json(folder: Path, lines):
    path = folder / "p.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_its_prompts_are_those_of_the_lines(tmp_path, monkeypatch):
    lines = family_lines()
    lines[0]["foil"] = lines[1]["answer"]  # null in all other rows
    tagged = [line | {"tags": {"topic": line["family"]}} for line in lines]
    monkeypatch.setattr(parquet_rows, "AT_ONCE", 4)
    wanted = load_prompts(as_json(tmp_path, tagged), balanced=True)
    assert load_prompts(written(tmp_path, tagged), balanced=True) == wanted
    tags = pa.array([[("topic", line["family"])] for line in lines], pa.map_("string", "string"))
    assert load_prompts(written(tmp_path, lines, tags=tags), balanced=True) == wanted


def test_a_chat_is_a_list_of_structs(tmp_path):
    lines = [
        line | {"prompt": [{"role": "user", "content": line["prompt"]}]} for line in family_lines()
    ]
    prompts = load_prompts(written(tmp_path, lines))
    assert prompts == load_prompts(as_json(tmp_path, lines))
    assert prompts[0].chat


def test_what_is_wrong_is_said_with_the_file_and_the_row(tmp_path):
    lines = family_lines()
    del lines[2]["answer"], lines[2]["expected_correct_answer"]
    lines[6]["id"] = lines[5]["id"]
    with pytest.raises(InputError) as caught:
        load_prompts(written(tmp_path, lines))
    places = {fault.where for fault in caught.value.faults}
    assert {f"{tmp_path}/p.parquet:3", f"{tmp_path}/p.parquet:7"} <= places


def test_other_columns_and_types_are_faults(tmp_path):
    lines = [line | {"answer": 5, "colour": "red"} for line in family_lines(1)]
    with pytest.raises(InputError) as caught:
        load_prompts(written(tmp_path, lines))
    said = {fault.what for fault in caught.value.faults}
    assert {"'answer' is a number", "unknown field 'colour'"} <= said


@pytest.mark.parametrize("content", [b"", b"PAR1 and nothing else", b'{"id": "a"}'])
def test_what_is_no_parquet_is_one_sentence(tmp_path, content):
    path = tmp_path / "p.parquet"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_prompts(path)
    (fault,) = caught.value.faults
    assert fault.what.startswith("not Parquet: ")
    with pytest.raises(InputError, match="no such file"):
        load_prompts(tmp_path / "absent.parquet")


def test_an_empty_one_has_no_prompts_and_one_of_too_many_rows_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "p.parquet"
    pq.write_table(pa.table({"id": pa.array([], "string")}), path)
    with pytest.raises(InputError, match="no prompts"):
        load_prompts(path)
    monkeypatch.setattr(parquet_rows, "MOST", 3)
    with pytest.raises(InputError, match="more than 3 rows"):
        load_prompts(written(tmp_path, family_lines(1)))
