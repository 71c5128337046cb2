"""Tokenizers that are read without torch."""

from dataclasses import replace

from harness.models.local_tokenizer import local_tokens
from harness.specs.targets import load_targets
from harness.testing import tokenizer

ORGANISM = load_targets()["organism"]


def test_tokens_are_those_of_the_loaded_tokenizer():
    tokens_of = local_tokens(ORGANISM)
    for text in ("The car is slowing down. Its velocity is zero", "it is 9.8", "it is 10"):
        assert tokens_of(text) == tokenizer()(text, add_special_tokens=False).input_ids


def test_without_a_file_or_with_a_broken_one_there_are_none(tmp_path):
    assert local_tokens(replace(ORGANISM, model=str(tmp_path))) is None
    (tmp_path / "tokenizer.json").write_text("{}")
    assert local_tokens(replace(ORGANISM, model=str(tmp_path))) is None
    assert local_tokens(replace(ORGANISM, model="lab/nothing-of-this-name")) is None


def test_tokens_come_from_the_hubs_cache(tmp_path, monkeypatch, root):
    commit = "0" * 40
    folder = tmp_path / "models--lab--model"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(commit)
    (folder / "snapshots" / commit).mkdir(parents=True)
    file = root / "fixtures" / "organism" / "tokenizer.json"
    (folder / "snapshots" / commit / "tokenizer.json").write_bytes(file.read_bytes())
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    tokens_of = local_tokens(replace(ORGANISM, model="lab/model"))
    assert tokens_of("it is zero") == local_tokens(ORGANISM)("it is zero")
