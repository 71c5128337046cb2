"""Where tokens are put: against lists that are cut by hand, by ids that are no text, and within a chat's words."""

import itertools

import pytest

from harness.errors import InputError
from harness.models.padded_batch import USER, Tokens
from harness.runner.stages.inject import _words, inject, placed, tokens_of
from harness.specs.ablations import Ablation
from harness.specs.prompt import Prompt
from harness.store.tables.interventions import InjectedTokens
from tests.helpers.runs import a_run_context

PROMPT = (2, 10, 11, 12, 13, 14, 15)
WORDS = range(1, 7)


@pytest.mark.parametrize(
    "placement, made, places",
    [
        ("start", (2, 90, 91, 10, 11, 12, 13, 14, 15), (1, 2)),
        ("end", (2, 10, 11, 12, 13, 14, 15, 90, 91), (7, 8)),
        ("middle", (2, 10, 11, 12, 90, 91, 13, 14, 15), (4, 5)),
        ("replace", (2, 10, 90, 12, 13, 91, 15), (2, 5)),
    ],
)
def test_tokens_are_put_where_the_spec_says(placement, made, places):
    assert placed(PROMPT, WORDS, [2, 4, 6], ((90,), (91,)), placement) == (made, places)
    assert [made[i] for i in places] == [90, 91]


def test_no_word_is_divided_where_another_begins():
    made, places = placed(PROMPT, WORDS, [6], ((90,),), "middle")
    assert made == (2, 10, 11, 12, 13, 14, 90, 15)
    assert places == (6,)
    assert placed(PROMPT, WORDS, [], ((90,),), "middle")[1] == (4,)


def test_more_tokens_than_words_take_all_their_places():
    tokens = tuple(range(90, 97))
    made = (2, *tokens), tuple(range(1, 8))
    assert placed(PROMPT, WORDS, [], tuple((one,) for one in tokens), "replace") == made
    assert placed(PROMPT, WORDS, [], (tokens,), "replace") == made


@pytest.mark.parametrize(
    "placement, made",
    [
        ("start", (2, 90, 91, 80, 81, 10, 11, 12, 13, 14, 15)),
        ("middle", (2, 10, 11, 12, 90, 91, 80, 81, 13, 14, 15)),
        ("end", (2, 10, 11, 12, 13, 14, 15, 90, 91, 80, 81)),
        ("replace", (2, 10, 90, 91, 13, 80, 81)),
    ],
)
def test_what_is_put_in_as_one_is_not_parted(placement, made):
    found, places = placed(PROMPT, WORDS, [4], ((90, 91), (80, 81)), placement)
    assert found == made
    assert [found[i] for i in places] == [90, 91, 80, 81]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_what_takes_places_is_whole_and_spread_in_texts_of_every_length(n):
    for grams in range(1, 6):
        tokens = tuple(tuple(100 * i + j for j in range(n)) for i in range(grams))
        for length in range(grams * n + 1, 40):
            prompt = tuple(range(length + 1))
            made, places = placed(prompt, range(1, length + 1), [], tokens, "replace")
            starts = places[::n]
            assert len(made) == length + 1
            assert [made[s : s + n] for s in starts] == list(tokens)
            assert [made[i] for i in range(length + 1) if i not in places] == [
                one for one in prompt if one not in places
            ]
            apart = [b - a for a, b in itertools.pairwise(starts)]
            assert max(apart, default=0) - min(apart, default=0) <= 1


def test_of_a_chat_the_words_are_what_its_user_says_last():
    roles = (0, USER, USER, 0, 3, 0, USER, USER, 0)
    assert _words(Tokens(tuple(range(9)), (), roles), 1) == range(6, 8)
    assert _words(Tokens(PROMPT), 1) == WORDS


def a_text(text="Tulips bloom."):
    return Prompt("t", "t", "t", "correct", text, "", "", "", 1)


def ablation(*at):
    return Ablation.model_validate(
        {"name": "top", "select": {"by": "contrast"}, "tokens": {"at": at}}
    )


def test_bytes_are_put_in_as_ids():
    """A byte of a letter is no text by itself, and would be tokenized as another one."""
    context = a_run_context()
    tokenizer = context.model.tokenizer
    piece = tokenizer("日", add_special_tokens=False).input_ids[-1]
    assert tokenizer(tokenizer.decode([piece]), add_special_tokens=False).input_ids != [piece]
    seen = []
    honest = context.model.forward
    context.model.forward = lambda batch, *a: seen.append(batch.ids.tolist()) or honest(batch, *a)
    (rows,) = inject(context, ablation("end"), {(1, 3): {1: ((piece,),)}}, "f", [a_text()])
    plain = [2, *tokenizer("Tulips bloom.", add_special_tokens=False).input_ids]
    assert any(row[-len(plain) - 1 :] == [*plain, piece] for ids in seen for row in ids)
    assert [row["placement"] for row in rows.rows()] == ["", "end"]


def test_a_text_that_is_too_long_with_the_tokens_is_refused():
    context = a_run_context()
    longest = context.model.architecture.longest
    word = context.model.tokens("a a").prompt[-1]
    text = a_text(" ".join(["a"] * (longest - 1)))
    length = len(context.model.tokens(text.text).prompt)
    assert length <= longest
    with pytest.raises(
        InputError, match=f"tokens with those of a feature, the model takes {longest}"
    ):
        inject(context, ablation("end"), {(1, 3): {1: ((word,),) * 20}}, "f", [text])


def test_tokens_are_read_back_in_their_order():
    rows = InjectedTokens.of(
        {"layer": 1, "feature": 3, "rank": rank, "token_id": token, "gram": n, "before": before}
        for rank, token, n, before in (
            (1, 8, 1, []), (1, 6, 2, [8]), (0, 9, 1, []), (2, 7, 1, []), (0, 8, 2, [9])
        )
    )  # fmt: skip
    assert tokens_of(rows) == {(1, 3): {1: ((9,), (8,), (7,)), 2: ((9, 8), (8, 6))}}
