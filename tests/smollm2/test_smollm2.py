"""A real Llama that was trained on chats: its template, its log-probabilities, and the evals of the pages.

Wanted values come from transformers itself: its own template, and plain unpadded forwards."""

import re

import pytest
import torch

from harness.models.padded_batch import positions_of
from harness.runner.context import How
from harness.runner.run import run_eval
from harness.specs.chat import Message, of_user
from harness.specs.spec_file import load
from tests.helpers.cli import invoke
from tests.helpers.runs import quiet

TALK = (
    Message("system", "You are brief."),
    Message("user", "What is the capital of France?"),
    Message("assistant", "Paris."),
    Message("user", "And of Italy?"),
)


def plain(model, ids, answer):
    with torch.no_grad():
        logprobs = model.network(torch.tensor([[*ids, *answer]])).logits[0].float().log_softmax(-1)
    return torch.stack([logprobs[len(ids) + i - 1, token] for i, token in enumerate(answer)])


@pytest.mark.parametrize("chat", [TALK, of_user("What is the capital of Italy?")])
def test_a_chat_is_what_the_template_makes_of_it(smollm2, chat):
    row = smollm2.tokens(chat, "Rome", "Milan, of course")
    messages = [message._asdict() for message in chat]
    wanted = smollm2.tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=True
    )["input_ids"]
    assert row.prompt == tuple(wanted)
    assert [smollm2.text_of(answer) for answer in row.answers] == ["Rome", "Milan, of course"]
    batch = smollm2.batch([row])
    at = positions_of(batch, "last_user_token")
    assert smollm2.text_of(batch.ids[at].tolist()) == "?"
    said = smollm2.text_of(batch.ids[positions_of(batch, "assistant")].tolist())
    assert said == "Paris." * (chat is TALK) + "RomeMilan, of course"


def test_scores_are_the_plain_forwards(smollm2):
    rows = [smollm2.tokens(chat, "Rome", "Milan, of course") for chat in (TALK, TALK[1:2])]
    rows.append(smollm2.tokens("The capital of France is", "Paris", "London"))
    for row, scores in zip(rows, smollm2.forward(smollm2.batch(rows)), strict=True):
        for answer, found in zip(row.answers, scores, strict=True):
            wanted = plain(smollm2, row.prompt, answer)
            torch.testing.assert_close(found, wanted, atol=2e-4, rtol=1e-4)
    assert float(scores[0].exp()) > 0.7  # that it is Paris, it knows


def test_it_is_valid():
    found = invoke("validate", "smollm2-135m")
    assert found.exit_code == 0, found.output


PAGES = {"reviews": "chat.md", "indirect_objects": "indirect-objects.md"}


@pytest.mark.parametrize("name", sorted(PAGES))
def test_an_eval_says_what_its_page_shows(root, tmp_path, name):
    page = (root / "docs" / PAGES[name]).read_text(encoding="utf-8")
    shown = dict(re.findall(r"^([\w-]+) +(\w+ +[+-][\d.]+) nats", page, re.M))
    how = How(device="cpu")
    outcome = run_eval(
        load(name), "smollm2-135m", db=tmp_path / "r.duckdb", how=how, progress=quiet
    )
    assert {verdict.claim for verdict in outcome.verdicts} == set(shown)
    for verdict in outcome.verdicts:
        word, estimate = shown[verdict.claim].split()
        assert verdict.verdict == word
        assert verdict.estimate == pytest.approx(float(estimate), rel=0.05)
