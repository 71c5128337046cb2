"""Forwards, taps and replays of a model, against transformers' own plain forward."""

import random

import pytest
import torch

from harness.batch import where
from harness.edits import zero
from harness.faults import InputError
from tests.random_models import random_model, random_sae

TEXTS = [
    ("A ball is thrown straight up. At the top its velocity is", "zero"),
    ("Its velocity is", "downward and then upward"),
    ("For a ferry, the velocity-time graph is a straight line. Its slope is", "not zero"),
    ("The acceleration of the car while it slows down points", "westward"),
]


OTHER = "upward without end"


def logprobs(model, texts, size=len(TEXTS)):
    """Of each text's own answer, with another candidate beside it."""
    rows = [model.tokens(text, OTHER, answer) for text, answer in texts]
    return [
        answers[1]
        for start in range(0, len(rows), size)
        for answers in model.forward(model.batch(rows[start : start + size]))
    ]


def batch_of(model):
    return model.batch([model.tokens(text, answer, OTHER) for text, answer in TEXTS])


def plain_logprobs(model, text, answer):
    """One unpadded forward of the network, in float32."""
    tokens = model.tokens(text, answer)
    ids = tokens.prompt + tokens.answers[0]
    logits = model.network(torch.tensor([ids])).logits[0].float().log_softmax(-1)
    return torch.stack([logits[at - 1, ids[at]] for at in range(len(tokens.prompt), len(ids))])


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_logprobs_are_the_plain_forwards_whatever_the_batch(side, size):
    model = random_model(1, side)
    for text, found in zip(TEXTS, logprobs(model, TEXTS, size), strict=True):
        assert torch.allclose(found, plain_logprobs(model, *text), atol=1e-5)


def test_candidates_side_by_side_do_not_see_each_other():
    model = random_model(8)
    text, answer = TEXTS[1]
    alone = model.forward(model.batch([model.tokens(text, answer)]))[0][0]
    for others in ((OTHER,), ("zero", OTHER, "zero zero")):
        rows = [model.tokens(text, *others, answer)]
        assert torch.allclose(model.forward(model.batch(rows))[0][-1], alone, atol=1e-5)


def test_the_order_of_rows_changes_nothing():
    model = random_model(2)
    shuffled = random.Random(0).sample(range(len(TEXTS)), len(TEXTS))
    found = logprobs(model, [TEXTS[i] for i in shuffled])
    straight = logprobs(model, TEXTS)
    for i, answer in zip(shuffled, found, strict=True):
        assert torch.allclose(answer, straight[i], atol=1e-5)


def test_bos_comes_exactly_once_and_specials_are_refused():
    model = random_model()
    assert model.tokens("It is", "zero").prompt.count(2) == 1
    assert model.tokens("It is").prompt[0] == 2
    with pytest.raises(InputError, match="special token"):
        model.tokens("It is <eos> here")


def test_a_token_across_the_boundary_is_refused():
    model = random_model()
    prompt = model.tokens("its velocity is")
    both = model.tokens("its velocity is", "zero")
    assert both.prompt == prompt.prompt
    assert model.text_of(both.answers[0]) == " zero"

    class Merging:
        """A tokenizer that makes one token of "is zero"."""

        bos_token_id, all_special_ids = 2, [0, 1, 2]

        def __call__(self, text):
            ids = [2, *(10 + len(word) for word in text.replace("is zero", "iszero").split())]
            return type("Encoding", (), {"input_ids": ids})

    model.tokenizer = Merging()
    with pytest.raises(InputError, match="one token spans"):
        model.tokens("its velocity is", "zero")


@pytest.mark.parametrize("side", ["left", "right"])
def test_taps_see_the_blocks_own_output(side):
    model = random_model(3, side)
    batch = batch_of(model)
    seen = {}
    model.forward(batch, {i: lambda x, i=i: seen.__setitem__(i, x) for i in range(4)})
    prompts = batch.branch == 0
    for row, (text, _) in enumerate(TEXTS):
        ids = torch.tensor([model.tokens(text).prompt])
        reference = model.network(ids, output_hidden_states=True).hidden_states
        for i in range(3):  # the last entry is taken after the final norm
            assert torch.allclose(seen[i][row, prompts[row]], reference[i + 1][0], atol=1e-4)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("at", ["prompt", "answer", "all", "last_prompt_token"])
def test_a_replay_is_the_hooked_full_forward(side, at):
    """Edits on two layers, replayed from every column that they allow."""
    model, sae = random_model(4, side), random_sae(4)
    batch = batch_of(model)
    positions = where(batch, at)

    def edit(start=0):
        return lambda x: zero(sae, x, positions[:, start:])

    hooked = model.forward(batch, {1: edit(), 2: edit()})
    plain = model.forward(batch)
    kept = model.keep(batch, [1])
    earliest = min(int(positions.any(0).nonzero()[0]), batch.earliest)
    for start in {0, earliest // 2, earliest}:
        residual = edit(start)(kept.residuals[1][:, start:])
        replayed = model.replay(kept, 1, residual, {2: edit(start)})
        for row in range(len(TEXTS)):
            for a, b in zip(hooked[row], replayed[row], strict=True):
                assert torch.allclose(a, b, atol=1e-5)
                assert start or torch.equal(a, b)
    moved = [not torch.allclose(a[0], b[0], atol=1e-3) for a, b in zip(hooked, plain, strict=True)]
    assert all(moved) if at != "answer" else moved[1]


def test_a_replay_of_the_unedited_residual_is_bit_exact():
    model = random_model(5)
    batch = batch_of(model)
    kept = model.keep(batch, range(4))
    plain = model.forward(batch)
    for layer in range(4):
        replayed = model.replay(kept, layer, kept.residuals[layer])
        for a, b in zip(plain, replayed, strict=True):
            assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_kept_forward_can_be_replayed_again_and_again():
    model = random_model(5)
    kept = model.keep(batch_of(model), [0])
    start = kept.batch.earliest
    first, second = (model.replay(kept, 0, kept.residuals[0][:, start:]) for _ in range(2))
    assert torch.equal(first[0][0], second[0][0])


def test_no_hook_and_no_stand_in_survives_an_exception():
    model = random_model(6)
    batch = batch_of(model)
    blocks = list(model.blocks)
    kept = model.keep(batch, [0])

    def broken(residual):
        raise KeyboardInterrupt

    taps = {1: broken, 2: lambda x: None}
    for work in (
        lambda: model.forward(batch, taps),
        lambda: model.replay(kept, 0, kept.residuals[0], taps),
    ):
        with pytest.raises(KeyboardInterrupt):
            work()
        assert model.taps_left == 0
        assert list(model.blocks) == blocks


@pytest.mark.parametrize("side", ["left", "right"])
def test_generation_is_transformers_own_greedy_text(side):
    model = random_model(7, side)
    model.network.generation_config.eos_token_id = 700
    rows = [model.tokens(text) for text, _ in TEXTS]
    found = model.generate(rows, new_tokens=6, top=5)
    for row, steps in zip(rows, found, strict=True):
        alone = model.network.generate(
            torch.tensor([row.prompt]), max_new_tokens=6, do_sample=False, pad_token_id=0
        )[0, len(row.prompt) :]
        assert [step.token for step in steps] == alone.tolist()[: len(steps)]
        assert all(int(step.top_ids[0]) == step.token for step in steps)
        assert all(step.top_logits.diff().le(0).all() for step in steps)


def test_generation_stops_at_the_end_token_of_each_row():
    model = random_model(7)
    rows = [model.tokens(text) for text, _ in TEXTS]
    free = model.generate(rows, new_tokens=6, top=1)
    stop = free[0][2].token
    model.network.generation_config.eos_token_id = stop
    cut = model.generate(rows, new_tokens=6, top=1)
    for before, after in zip(free, cut, strict=True):
        tokens = [step.token for step in before]
        wanted = tokens[: tokens.index(stop) + 1] if stop in tokens else tokens
        assert [step.token for step in after] == wanted
