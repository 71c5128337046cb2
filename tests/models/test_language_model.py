"""Forwards, taps and replays of a model, against transformers' own plain forward."""

import random

import pytest
import torch

from harness.errors import InputError
from harness.interventions.edits import Edit, apply
from harness.models.language_model import LanguageModel
from harness.models.logprobs import token_logprobs
from harness.models.padded_batch import positions_of, reads_of
from harness.models.suffix import compact, first_read, lengths, suffix_of
from harness.testing.models import random_model, random_sae

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


def test_the_unembedding_multiplies_one_piece_of_memory(monkeypatch):
    """A slice is multiplied a row at a time, with a copy of the unembedding for each in bfloat16."""
    model, strides = random_model(1), []
    head = model.network.get_output_embeddings()
    multiply = head.forward
    monkeypatch.setattr(
        head, "forward", lambda x: (strides.append((x.shape, x.stride())), multiply(x))[1]
    )
    batch = batch_of(model)
    model.forward(batch)
    model.forward(model.batch([model.tokens("It is at rest"), model.tokens("It is")]))  # no answer
    model.cached_forward(*compact(batch, reads_of(batch)), [1])
    model.generate([model.tokens("It is"), model.tokens("It")], 2, 3)
    assert len(strides) == 5
    for shape, stride in strides:
        assert stride == torch.empty(shape).stride()
    assert not head._forward_pre_hooks


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

        def __call__(self, text, add_special_tokens=True):
            ids = [10 + len(word) for word in text.replace("is zero", "iszero").split()]
            ids = [2, *ids] if add_special_tokens else ids
            return type("Encoding", (), {"input_ids": ids})

    merging = LanguageModel(model.network, Merging())
    with pytest.raises(InputError, match="one token spans"):
        merging.tokens("its velocity is", "zero")


def test_a_prompt_is_tokenized_once(monkeypatch):
    """Every stage asks for the same ones; what is kept is bounded."""
    model = random_model()
    first = model.tokens("its velocity is", "zero")
    assert model.tokens("its velocity is", "zero") is first
    assert model.tokens("its velocity is", "not zero") != first
    monkeypatch.setattr("harness.models.prompt_tokenizer.KNOWN", 2)
    assert model.tokens("its speed is", "zero") != first
    assert len(model._known) == 1
    again = model.tokens("its velocity is", "zero")
    assert again == first
    assert again is not first


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


ARCHITECTURES = ["gemma2", "gemma3"]


def kept_of(model, batch, blocks):
    return model.cached_forward(*compact(batch, reads_of(batch)), blocks)


def tail(kept, firsts):
    """A tail for each (row, first column)."""
    rows, columns = (torch.tensor(column) for column in zip(*firsts, strict=True))
    return suffix_of(kept.batch, kept.reads, rows, columns)


def replayed(model, kept, block, firsts, tap=None, taps=None):
    """The answers' log-probabilities of a replay, edited by `tap(residual, tail)`."""
    which = tail(kept, firsts)
    residual = which.of(kept.held[block])
    found = model.replay(
        kept,
        which,
        block,
        tap(residual, which) if tap else residual,
        {layer: lambda x, t=t: t(x, which) for layer, t in (taps or {}).items()},
    )
    return token_logprobs(found, kept.reads, which.row)


def whole(kept):
    return token_logprobs(kept.logprobs, kept.reads, torch.arange(len(kept.batch)))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_kept_forward_scores_what_a_plain_one_does(architecture, side):
    model = random_model(4, side, architecture=architecture)
    kept = kept_of(model, batch_of(model), [1])
    for row, (text, answer) in enumerate(TEXTS):
        for number, said in enumerate((answer, OTHER)):
            found = whole(kept)[row][kept.reads.answer[row] == number]
            assert torch.allclose(found, plain_logprobs(model, text, said), atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("at", ["prompt", "answer", "all", "last_prompt_token", (2, -2)])
def test_a_replay_is_the_hooked_full_forward(architecture, side, at):
    """Edits on two layers; each row three times, replayed from any column that the edit allows."""
    model, sae = random_model(4, side, architecture=architecture), random_sae(4)
    batch = batch_of(model)
    positions = positions_of(batch, at)

    def zero(x, positions):
        return apply(Edit(sae, -1.0), x, positions)

    taps = {layer: lambda x: zero(x, positions) for layer in (1, 2)}
    hooked = model.forward(batch, taps)
    plain = model.forward(batch)
    kept = kept_of(model, batch, [1])
    inside = positions_of(kept.batch, at)
    reads = first_read(kept.reads, kept.batch.columns)
    first = torch.where(inside.any(1), inside.long().argmax(1), reads).minimum(reads).tolist()
    starts = [(row, start) for row in range(4) for start in (first[row], first[row] // 2, 0)]

    def tap(x, tail):
        return zero(x, tail.of(inside))

    found = replayed(model, kept, 1, starts, tap, {2: tap})
    for (row, _), scores in zip(starts, found, strict=True):
        for number, wanted in enumerate(hooked[row]):
            assert torch.allclose(scores[kept.reads.answer[row] == number], wanted, atol=1e-5)
    moved = [not torch.allclose(a[0], b[0], atol=1e-3) for a, b in zip(hooked, plain, strict=True)]
    assert all(moved) if at != "answer" else moved[1]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_in_half_precision_a_replay_is_as_near_as_another_batch(architecture):
    """The replay's difference from the hooked forward is within what a batch of one makes."""
    model = random_model(4, architecture=architecture, dtype=torch.bfloat16)
    batch, sae = batch_of(model), random_sae(4)

    def hooked(batch):
        tap = {1: lambda x: apply(Edit(sae, -1.0), x, positions_of(batch, "prompt"))}
        return [torch.cat(row) for row in model.forward(batch, tap)]

    together = hooked(batch)
    alone = [hooked(model.batch([model.tokens(text, answer, OTHER)]))[0] for text, answer in TEXTS]
    kept = kept_of(model, batch, [1])
    inside = positions_of(kept.batch, "prompt")
    starts = [(row, int(inside[row].long().argmax())) for row in range(4)]
    found = replayed(
        model,
        kept,
        1,
        starts,
        lambda x, tail: apply(Edit(sae, -1.0), x, tail.of(inside)),
    )
    noise = max(float((a - b).abs().max()) for a, b in zip(together, alone, strict=True))
    ours = max(
        float((scores[~scores.isnan()] - wanted).abs().max())
        for scores, wanted in zip(found, together, strict=True)
    )
    assert ours <= noise


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layer", range(4))
def test_rows_of_one_replay_that_begin_alike_are_alike_to_the_bit(dtype, layer):
    """What makes a no-op exact: its baseline stands elsewhere in the same replay."""
    model = random_model(5, dtype=dtype)
    kept = kept_of(model, batch_of(model), range(4))
    starts = [(row, start) for row in range(4) for start in (1, 5, 1, 5)]
    found = replayed(model, kept, layer, starts)
    for i in range(0, 16, 4):
        assert torch.equal(found[i].nan_to_num(), found[i + 2].nan_to_num())
        assert torch.equal(found[i + 1].nan_to_num(), found[i + 3].nan_to_num())
    near = 1e-5 if dtype == torch.float32 else 0.5
    wanted = whole(kept)[torch.tensor([row for row, _ in starts])]
    assert torch.allclose(found.nan_to_num(), wanted.nan_to_num(), atol=near)


def test_a_replay_computes_no_column_that_nothing_needs():
    model = random_model(5)
    kept = kept_of(model, batch_of(model), [0])
    first = first_read(kept.reads, kept.batch.columns).tolist()
    which = tail(kept, list(enumerate(first)))
    for row, (text, answer) in enumerate(TEXTS):
        said = [model.tokens(text, a).answers[0] for a in (answer, OTHER)]
        needed = 1 + sum(len(tokens) - 1 for tokens in said)
        assert int((which.column[row] >= 0).sum()) == needed
        assert int(lengths(kept.batch, kept.reads)[row, first[row]]) == needed


def test_a_replay_has_gradients_where_they_are_asked_for():
    model = random_model(5)
    kept = kept_of(model, batch_of(model), [1])
    which = tail(kept, [(0, 1), (1, 1)])
    residual = which.of(kept.held[1]).requires_grad_()
    model.replay(kept, which, 1, residual, gradients=True).max().backward()
    assert residual.grad.abs().sum() > 0
    assert not model.replay(kept, which, 1, residual.detach()).requires_grad


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, torch.OutOfMemoryError])
def test_no_hook_and_no_stand_in_survives_any_way_out(error):
    model = random_model(6)
    batch = batch_of(model)
    blocks = list(model.blocks)
    kept = kept_of(model, batch, [0])
    which = tail(kept, [(0, 1)])

    def broken(residual):
        raise error

    taps = {1: broken, 2: lambda x: None}
    for work in (
        lambda: model.forward(batch, taps),
        lambda: model.replay(kept, which, 0, which.of(kept.held[0]), taps),
    ):
        with pytest.raises(error):
            work()
        assert model.taps_left == 0
        assert list(model.blocks) == blocks


def test_ctrl_c_while_cleaning_up_leaves_nothing_behind():
    model = random_model(6)
    batch = batch_of(model)
    kept = kept_of(model, batch, [0])
    which, blocks = tail(kept, [(0, 1)]), list(model.blocks)
    impatient = iter([KeyboardInterrupt, KeyboardInterrupt])
    assign = type(model.blocks).__setitem__

    def interrupted(self, index, block):
        if block in blocks and (error := next(impatient, None)):
            raise error
        assign(self, index, block)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(model.blocks), "__setitem__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            model.replay(kept, which, 0, which.of(kept.held[0]), {2: lambda x: None})
    assert next(impatient, None) is None
    assert list(model.blocks) == blocks
    assert model.taps_left == 0


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
