"""A whole run on a chat model: the template's tokens are what is scored, read, edited and stored."""

import copy
import json

import pytest
import torch

from harness.errors import InputError
from harness.runner.context import How
from harness.runner.run import run_eval
from harness.specs.chat import Message
from harness.specs.spec_file import load
from harness.store.database import Store
from harness.store.prompts import stored_prompts
from harness.testing.models import random_model, tokenizer
from tests.helpers.runs import quiet
from tests.helpers.specs import family_lines

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ 'It ' + m['role'] + ' is ' + m['content'] + ' zero ' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'It assistant is <bos>' }}{% endif %}"
)
SPEC = """
name: talk
question: Does a chat run?
prompts: prompts.jsonl
chat: true
new_tokens: 2
targets:
  own: {model: model, sae: "mock:jumprelu", layers: [1, 2], stand_in: true}
readout: {at: last_user_token}
split: {by: family, discovery: 0.5, seed: 1}
ablations:
  - {name: top, select: {top: 3, by: contrast}, positions: last_user_token, controls: 19}
  - {name: said, select: {top: 3, by: contrast}, positions: assistant, controls: 19}
claims:
  - {name: moves, behaviour: logit_difference, contrast: true, direction: greater}
  - {name: matters, ablation: top, direction: toward-correct}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chat")
    own = copy.deepcopy(tokenizer())
    own.chat_template = TEMPLATE
    own.save_pretrained(folder / "model")
    random_model(3, architecture="llama").network.save_pretrained(folder / "model")
    (folder / "prompts.jsonl").write_text("\n".join(map(json.dumps, family_lines(6))))
    (folder / "talk.yaml").write_text(SPEC)
    return folder


@pytest.fixture(scope="module")
def outcome(folder):
    spec, db = load(folder / "talk.yaml"), folder / "results.duckdb"
    return run_eval(spec, "own", db=db, how=How(device="cpu"), progress=quiet)


def test_answers_are_what_the_assistant_says_after_the_template(folder, outcome):
    model = random_model(3, architecture="llama")
    words = tokenizer()
    with Store.open_to_read(outcome.db) as store:
        prompts = stored_prompts(store, outcome.run_id)
        _, rows = store.query("SELECT prompt_id, candidate, sum(logprob) FROM answers GROUP BY ALL")
    scores = {(prompt, candidate): value for prompt, candidate, value in rows}
    for prompt in prompts[:4]:
        assert prompt.chat == (Message("user", prompt.text),)
        text = f"<bos>It user is {prompt.text} zero It assistant is <bos>"
        before = words(text, add_special_tokens=False).input_ids
        for candidate in ("correct", "misconception"):
            ids = words(text + getattr(prompt, candidate), add_special_tokens=False).input_ids
            assert ids[: len(before)] == before
            logits = model.network(torch.tensor([ids])).logits[0].log_softmax(-1)
            wanted = sum(float(logits[at - 1, ids[at]]) for at in range(len(before), len(ids)))
            assert scores[prompt.id, candidate] == pytest.approx(wanted, abs=1e-4)


def test_a_model_without_a_template_is_refused_once(folder):
    text = SPEC.replace("own: {model: model", "organism: {layers: [1, 2]}\n  own: {model: model")
    (folder / "untalkative.yaml").write_text(text)
    spec = load(folder / "untalkative.yaml")
    with pytest.raises(InputError, match="no chat template") as raised:
        run_eval(spec, "organism", db=folder / "none.duckdb", how=How(device="cpu"), progress=quiet)
    assert len(raised.value.faults) == 1


def test_messages_are_stored_and_read_again(folder, outcome):
    wanted = load(folder / "talk.yaml").plan("own").prompts
    with Store.open_to_read(outcome.db) as store:
        assert [p.chat for p in stored_prompts(store, outcome.run_id)] == [p.chat for p in wanted]
        _, rows = store.query("SELECT messages, prompt FROM prompts")
    for messages, text in rows:
        assert json.loads(messages) == [["user", text]]


def test_edits_are_made_where_the_user_and_the_assistant_speak(outcome):
    with Store.open_to_read(outcome.db) as store:
        _, rows = store.query(
            "SELECT ablation, max(abs(impact)) FROM impacts JOIN interventions USING (run_id, "
            "intervention_id) WHERE role = 'target' GROUP BY ablation"
        )
        _, no_op = store.query(
            "SELECT max(abs(impact)) FROM impacts JOIN interventions USING (run_id, intervention_id) "
            "WHERE role = 'no-op'"
        )
    found = dict(rows)
    assert found["top"] > 1e-3
    assert found["said"] > 1e-3
    assert no_op == [(0.0,)] or no_op[0][0] < 1e-5
