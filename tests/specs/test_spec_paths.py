"""Which file is meant by the name of a spec, and by the prompts that it names."""

import json

import pytest

from harness.errors import InputError
from harness.specs.spec_file import load
from tests.helpers.specs import BEHAVIOUR_SPEC


def test_a_missing_spec_is_answered_with_the_nearest(tmp_path):
    with pytest.raises(InputError, match="did you mean 'voices'"):
        load("voicse")


def test_a_name_means_the_spec_of_the_working_directory_first(tmp_path, monkeypatch):
    (tmp_path / "evals").mkdir()
    (tmp_path / "evals" / "voices.yaml").write_text(BEHAVIOUR_SPEC)
    (tmp_path / "evals" / "two.yaml").write_text(BEHAVIOUR_SPEC)
    (tmp_path / "pilot").mkdir()  # a folder of a spec's name is not the spec
    monkeypatch.chdir(tmp_path)
    assert load("voices").spec.name == load("two").spec.name == "demo"
    assert load("pilot").spec.name == "pilot"
    with pytest.raises(InputError, match="did you mean 'two'"):
        load("twoo")
    with pytest.raises(InputError, match="did you mean 'placebo'"):
        load("placbo")


@pytest.mark.parametrize(
    "path, said",
    [
        ("evals", "evals: it is a folder; name evals/*.yaml"),
        ("empty", "empty: it is a folder; name a spec, a YAML file"),
        ("evals/*.yaml", "evals/*.yaml: it is a pattern, not a file; write it without quotes"),
        ("nowhere/*.yaml", "nowhere/*.yaml: no file is named like this; check the folder"),
    ],
)
def test_a_folder_or_a_pattern_is_no_spec(tmp_path, monkeypatch, path, said):
    (tmp_path / "evals").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "evals" / "two.yaml").write_text(BEHAVIOUR_SPEC)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        load(path)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    "folder, spec",
    [(".", "evals/demo.yaml"), ("evals", "demo.yaml"), ("evals/deeper", "../demo.yaml")],
)
def test_prompts_are_found_in_the_folder_above_from_wherever_one_stands(
    tmp_path, prompt_lines, monkeypatch, folder, spec
):
    (tmp_path / "evals" / "deeper").mkdir(parents=True)
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, prompt_lines)))
    (tmp_path / "evals" / "demo.yaml").write_text(
        BEHAVIOUR_SPEC.replace("prompts.jsonl", "p.jsonl")
    )
    monkeypatch.chdir(tmp_path / folder)
    assert load(spec).prompts_path.samefile(tmp_path / "p.jsonl")


def test_prompts_are_looked_for_in_the_order_that_the_pages_give(tmp_path, root, monkeypatch):
    """Beside the spec, in the folder above it, in the working directory, in the package."""
    places = [tmp_path / "a" / "b", tmp_path / "a", tmp_path / "here"]
    for place in places:
        (place / "data").mkdir(parents=True)
        (place / "data" / "voices.jsonl").write_text("")
    path = places[0] / "demo.yaml"
    path.write_text(BEHAVIOUR_SPEC.replace("prompts.jsonl", "data/voices.jsonl"))
    monkeypatch.chdir(tmp_path / "here")
    for place in [*places, root]:
        found = load(path).prompts_path
        assert found.samefile(place / "data" / "voices.jsonl")
        if place != root:
            found.unlink()


@pytest.mark.parametrize("name", ["n" * 256, "n/" * 2100, "é" * 128])
def test_a_name_that_no_file_can_have_is_refused_before_one_is_looked_for(name):
    with pytest.raises(InputError, match="no file can have so long a name"):
        load(name)
    with pytest.raises(InputError, match="there is no such spec"):
        load(name[:127])
