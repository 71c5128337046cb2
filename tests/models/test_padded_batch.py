"""Positions: what is read and edited, and what sees what, whatever the padding."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.models.padded_batch import Tokens, pad, positions_of

answers = st.lists(st.integers(1, 4), max_size=3)
rows = st.lists(
    st.tuples(st.integers(2, 12), answers).map(
        lambda sizes: Tokens(
            (2, *range(10, 9 + sizes[0])),
            tuple(tuple(range(100 * n, 100 * n + size)) for n, size in enumerate(sizes[1], 1)),
        )
    ),
    min_size=1,
    max_size=5,
)
sides = st.sampled_from(["left", "right"])


@given(rows, sides)
def test_positions_are_the_rows_own_tokens_in_their_order(rows, side):
    batch = pad(rows, pad_id=0, side=side)
    for i, row in enumerate(rows):
        spoken = tuple(token for answer in row.answers for token in answer)
        for at, wanted in {
            "last_prompt_token": row.prompt[-1:],
            "prompt": row.prompt[1:],
            "answer": spoken,
            "all": row.prompt[1:] + spoken,
        }.items():
            assert tuple(batch.ids[i, positions_of(batch, at)[i]].tolist()) == wanted


@given(rows, sides)
def test_bos_and_padding_are_never_chosen(rows, side):
    batch = pad(rows, pad_id=0, side=side)
    bos = (batch.ids == 2) & (batch.branch == 0)
    assert bos.sum(1).tolist() == [1] * len(rows)
    for at in ("last_prompt_token", "prompt", "answer", "all"):
        assert not (positions_of(batch, at) & (bos | (batch.branch < 0))).any()
    assert int((batch.branch >= 0).sum()) == sum(map(len, rows))


@given(rows, sides, st.sampled_from([None, 1, 3, 8]))
def test_each_answer_sees_the_prompt_and_itself_in_the_order_of_places(rows, side, window):
    batch = pad(rows, pad_id=0, side=side)
    seen = batch.sight.visible(window)
    for i in range(len(rows)):
        for query in range(batch.columns):
            for key in range(batch.columns):
                a, b = int(batch.branch[i, query]), int(batch.branch[i, key])
                distance = int(batch.place[i, query] - batch.place[i, key])
                wanted = (
                    a >= 0
                    and (b == 0 or (b == a and b > 0))
                    and distance >= 0
                    and (window is None or distance < window)
                ) or query == key
                assert bool(seen[i, query, key]) == wanted


@given(rows, sides)
def test_the_source_of_an_answers_token_is_the_token_before_it(rows, side):
    batch = pad(rows, pad_id=0, side=side)
    for i, row in enumerate(rows):
        found = []
        for column in (batch.branch[i] > 0).nonzero()[:, 0]:
            source = batch.predictor[i, column]
            assert batch.place[i, source] == batch.place[i, column] - 1
            assert batch.branch[i, source] in (0, batch.branch[i, column])
            found.append(int(batch.ids[i, source]))
        wanted = [t for answer in row.answers for t in (row.prompt[-1], *answer[:-1])]
        assert found == wanted


def test_the_earliest_column_is_the_first_one_whose_logits_are_read():
    batch = pad([Tokens((2, 10, 11), ((5,),)), Tokens((2, 10, 11, 12), ((5,), (6, 7)))], pad_id=0)
    assert batch.earliest == 3
    assert torch.equal(batch.last, torch.tensor([2, 3]))
