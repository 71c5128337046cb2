"""Chats as tokens: what transformers makes of a template, whose word each token is, and BOS once."""

import copy

import pytest

from harness.errors import InputError
from harness.models.language_model import LanguageModel
from harness.models.padded_batch import positions_of
from harness.specs.chat import Message, of_user
from harness.testing.models import random_model, tokenizer

TURNS = (
    "{{ bos_token }}{% for m in messages %}{{ 'It ' + m['role'] + ' is ' + m['content'] + ' zero ' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'It assistant is <bos>' }}{% endif %}"
)
TALK = (
    Message("system", "the ball"),
    Message("user", "the velocity"),
    Message("assistant", "upward"),
    Message("user", "the acceleration of the ball"),
)


def model_with(template, bos="auto", architecture="llama"):
    own = copy.deepcopy(tokenizer())
    own.chat_template = template
    network = random_model(architecture=architecture).network
    return LanguageModel(network, own, bos=bos)


def words(model, ids):
    return "".join(model.token_of(one) for one in ids).split()


def plainly(model, chat, **how):
    messages = [message._asdict() for message in chat]
    found = model.tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True, **how)
    return tuple(found["input_ids"])


def test_a_chat_is_what_the_template_makes_of_it_and_the_answer_is_the_assistant_s():
    model = model_with(TURNS)
    row = model.tokens(TALK, "downward", "zero")
    assert row.prompt == plainly(model, TALK, add_generation_prompt=True)
    assert [words(model, answer) for answer in row.answers] == [["downward"], ["zero"]]
    assert row.prompt[:-1].count(model.tokenizer.bos_token_id) == 1
    assert len(row.roles) == len(row.prompt)


def test_an_assistant_s_last_message_is_gone_on_with():
    model = model_with(TURNS)
    chat = (*TALK, Message("assistant", "It is"))
    row = model.tokens(chat, "downward")
    assert row.prompt == plainly(model, chat, continue_final_message=True)
    assert words(model, row.prompt[-2:]) == ["It", "is"]
    assert model.text_of(row.answers[0]) == " downward"


@pytest.mark.parametrize("side", ["left", "right"])
def test_positions_by_role_are_those_of_what_each_says(side):
    model = model_with(TURNS)
    model.padding_side = side
    rows = [model.tokens(TALK, "downward", "zero"), model.tokens(of_user("the ball"), "zero")]
    batch = model.batch(rows)

    def said(at, row):
        ids = batch.ids[row][positions_of(batch, at)[row]].tolist()
        return "".join(map(model.token_of, ids))

    assert said("last_user_token", 0) == said("last_user_token", 1) == " ball"
    assert said("assistant", 0) == " upwarddownwardzero"
    assert said("assistant", 1) == "zero"
    assert said("last_prompt_token", 0) == "<bos>"
    plain = model.batch([model.tokens("the ball", "zero")])
    assert not positions_of(plain, "last_user_token").any()


def test_what_a_role_says_is_found_though_a_template_has_the_same_words():
    model = model_with(TURNS)
    row = model.tokens(of_user("is user user It"), "zero")
    mine = [i for i, role in enumerate(row.roles) if role == 2]
    assert mine == list(range(mine[0], mine[-1] + 1))
    assert words(model, row.prompt[: mine[0]]) == ["<bos>It", "user", "is"]
    assert words(model, [row.prompt[i] for i in mine]) == ["is", "user", "user", "It"]
    assert words(model, row.prompt[mine[-1] + 1 :]) == ["zero", "It", "assistant", "is", "<bos>"]


@pytest.mark.parametrize(
    ("template", "bos", "architecture", "count"),
    [
        (TURNS, "auto", "llama", 1),
        (TURNS, "always", "llama", 1),
        (TURNS, "never", "llama", 0),
        (TURNS.replace("{{ bos_token }}", ""), "auto", "llama", 0),
        (TURNS.replace("{{ bos_token }}", ""), "always", "llama", 1),
        (TURNS.replace("{{ bos_token }}", ""), "auto", "gemma2", 1),
        (TURNS, "auto", "gemma2", 1),
    ],
)
def test_bos_is_there_once_or_not_at_all(template, bos, architecture, count):
    model = model_with(template, bos, architecture)
    row = model.tokens(TALK, "zero")
    assert row.prompt[:-1].count(2) == count
    assert len(row.roles) == len(row.prompt)
    assert words(model, [row.prompt[row.roles.index(2)]]) == ["the"]
    assert [words(model, one) for one in row.answers] == [["zero"]]


def test_specials_in_what_is_said_are_refused_and_those_of_the_template_are_not():
    model = model_with(TURNS.replace("' zero '", "' zero <eos> '"))
    assert 1 in model.tokens(TALK, "zero").prompt
    for chat, answer in ((of_user("It is <eos>"), "zero"), (TALK, "<eos>")):
        with pytest.raises(InputError, match="special token <eos>"):
            model.tokens(chat, answer)


NO_SYSTEM = "{{ raise_exception('no system here') if messages[0]['role'] == 'system' }}" + TURNS


@pytest.mark.parametrize(
    ("template", "why"),
    [
        (None, "no chat template"),
        (NO_SYSTEM, "does not take system and user and assistant in this order: no system here"),
        ("{{ messages[9]['content'] }}", "does not take"),
        ("{% for", "does not take"),
        (
            TURNS.replace("m['content'] +", "m['content'] | replace('ball', 'car') +"),
            "changes what",
        ),
        (TURNS.replace("m['content'] +", "m['content'] + m['content'] +"), "changes what"),
        (TURNS.replace("m['content'] +", "'it' +"), "changes what"),
    ],
)
def test_a_template_that_cannot_be_used_is_an_error_in_a_sentence(template, why):
    with pytest.raises(InputError, match=why) as raised:
        model_with(template).tokens(TALK, "zero")
    assert "\n" not in str(raised.value)


def test_an_answer_that_a_token_spans_with_the_turn_is_refused():
    model = model_with(TURNS.replace("<bos>", " ze"))
    with pytest.raises(InputError, match="one token spans"):
        model.tokens(TALK, "ro")


def test_scores_of_a_chat_are_the_network_s():
    import torch

    model = model_with(TURNS)
    row = model.tokens(TALK, "downward", "zero")
    scores = model.forward(model.batch([row, model.tokens(of_user("the ball"), "zero")]))[0]
    for answer, found in zip(row.answers, scores, strict=True):
        logits = model.network(torch.tensor([[*row.prompt, *answer]])).logits[0].log_softmax(-1)
        torch.testing.assert_close(float(found[0]), float(logits[len(row.prompt) - 1, answer[0]]))
