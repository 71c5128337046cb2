"""Models that are read as they are by themselves pass every check; each planted fault fails the one that names it."""

from contextlib import contextmanager
from copy import deepcopy

import pytest
import torch
from tokenizers.processors import TemplateProcessing
from torch import nn

from harness.models.language_model import LanguageModel
from harness.models.padded_batch import Tokens
from harness.runner.validation import numbers
from harness.runner.validation.beginnings import chat_template
from harness.runner.validation.sample import sample_of
from harness.runner.validation.streams import replays
from harness.runner.validation.validate import checks_of_model
from harness.testing.models import ARCHITECTURES, random_model, tokenizer


def found(model):
    with torch.no_grad():
        return {check.name: check for check in checks_of_model(model, sample_of(model))}


def failing(model):
    return {name for name, check in found(model).items() if check.holds is False}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_family_passes_every_check(name):
    checks = found(random_model(3, architecture=name))
    assert {name: check.found for name, check in checks.items() if check.holds is False} == {}
    for check in (
        "taps",
        "in place",
        "no-op",
        "edit",
        "repeats",
        "branches",
        "padding left",
        "bos",
    ):
        assert checks[check].holds, check
    assert checks["edit"].value < 1e-4


def test_the_longest_rows_of_a_family_that_counts_columns_are_replayed():
    """Where the shortest row begins, the longest has its own columns after as many of the cache."""
    model = random_model(3, architecture="gpt_neo")
    longest = model.architecture.widest
    rows = [Tokens((2, *range(9, n + 8)), ((7, 8), (5,))) for n in (longest - 3, 4)]
    assert max(map(len, rows)) == longest
    with torch.no_grad():
        assert [check.found for check in replays(model, rows) if not check.holds] == []


@pytest.mark.parametrize("name", ["gemma2", "llama", "cohere"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_model_in_half_precision_passes_them(dtype, name):
    """Also where edits move answers by less than what half precision may."""
    checks = found(random_model(3, architecture=name, dtype=dtype))
    assert {name: check.found for name, check in checks.items() if check.holds is False} == {}
    assert checks["edit"].holds
    assert checks["no-op"].bound > 0.05


def with_tokenizer(change):
    copy = deepcopy(tokenizer())
    change(copy)
    return LanguageModel(random_model(3).network, copy)


def test_a_doubled_bos_is_named():
    def double(copy):
        copy.backend_tokenizer.post_processor = TemplateProcessing(
            single="<bos> <bos> $A", special_tokens=[("<bos>", 2)]
        )

    model = with_tokenizer(double)
    assert model.tokens("It is", "zero").prompt[:2] == (2, 2)
    assert failing(model) == {"bos"}
    assert found(model)["bos"].found == "2 times; by itself the tokenizer has 2"


def test_a_gemma_without_bos_is_named():
    model = LanguageModel(random_model(3).network, tokenizer(), bos="never")
    assert failing(model) == {"bos"}
    llama = random_model(3, architecture="llama")
    assert failing(LanguageModel(llama.network, tokenizer(), bos="never")) == set()


TURN = "{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}"


@pytest.mark.parametrize(
    "template, holds, said",
    [
        ("{{ bos_token }}" + TURN, True, "1 at the beginning of"),
        ("{{ bos_token }}{{ bos_token }}" + TURN, False, "2 at the beginning of"),
        (TURN, True, "1 at the beginning of"),  # a Gemma has it in any case
        ("{{ nothing.at.all }}", False, "the model's chat template does not take user"),
        (None, None, "the tokenizer has none"),
    ],
)
def test_a_chat_begins_with_bos_once(template, holds, said):
    model = with_tokenizer(lambda copy: setattr(copy, "chat_template", template))
    (check,) = chat_template(model)
    assert (check.holds, check.found[: len(said)]) == (holds, said)


def test_a_dropped_mask_is_named(monkeypatch):
    """Attention that takes what is before in the row for what is before in the text."""
    from transformers.models.gemma2 import modeling_gemma2

    whole = modeling_gemma2.eager_attention_forward

    def dropping(module, query, key, value, attention_mask, **more):
        shape = query.shape[2], key.shape[2]
        after = torch.ones(shape, dtype=torch.bool).triu(shape[1] - shape[0] + 1)
        mask = torch.zeros(shape).masked_fill(after, -1e9)[None, None]
        return whole(module, query, key, value, mask, **more)

    monkeypatch.setattr(modeling_gemma2, "eager_attention_forward", dropping)
    wrong = failing(random_model(3))
    assert {"branches", "padding left"} <= wrong
    assert not wrong & {"taps", "log-probabilities", "bos"}  # which are of one row alone


def test_answers_of_one_token_go_on():
    """Of one alone no token would see what stands beside it."""
    model = random_model(3, architecture="llama")
    sample = sample_of(model)
    assert min(len(answer) for row in sample.rows for answer in row.answers) == 1
    assert min(len(answer) for row in sample.few for answer in row.answers) >= 4
    assert len({len(row.prompt) for row in sample.few}) == 3


def test_a_tap_on_another_block_is_named():
    model = random_model(3)
    model.blocks = nn.ModuleList([*model.blocks[1:], model.blocks[0]])
    wrong = found(model)
    assert wrong["taps"].holds is False
    assert "sees what comes out of block" in wrong["taps"].found


def test_edits_of_another_block_are_named():
    """Blocks that are all taken for the next one: a replay goes on from the wrong place."""
    model = random_model(3, layers=4)
    whole = model.replay

    def replay(cached, suffix, block, residual, taps=None, **more):
        return whole(cached, suffix, min(block + 1, 3), residual, taps, **more)

    model.replay = replay
    assert {"no-op", "edit"} <= failing(model)


@contextmanager
def hooked(module, hook, **settings):
    handle = module.register_forward_hook(hook, **settings)
    try:
        yield
    finally:
        handle.remove()


def test_a_model_that_changes_its_cache_is_named(monkeypatch):
    """Attention that scales, in place, the keys that it has handed over."""
    from transformers.models.gemma2 import modeling_gemma2

    whole = modeling_gemma2.eager_attention_forward

    def scaling(module, query, key, value, attention_mask, **more):
        return whole(module, query, key.mul_(1.2), value, attention_mask, **more)

    monkeypatch.setattr(modeling_gemma2, "eager_attention_forward", scaling)
    wrong = failing(random_model(3))
    assert "no-op" in wrong
    assert not wrong & {"taps", "log-probabilities", "branches", "bos"}


def test_a_model_that_remembers_is_named():
    model = random_model(3)
    calls = []

    def remember(module, inputs, output):
        calls.append(1)
        return output + 0.01 * len(calls)

    with hooked(model.blocks[3].mlp, remember):
        assert "repeats" in failing(model)


def test_a_replay_that_changes_what_is_kept_is_named(monkeypatch):
    model = random_model(3)
    whole = model.replay

    def replay(cached, *given, **more):
        for keys, _ in cached.keys_and_values.values():
            keys.add_(1e-4)
        return whole(cached, *given, **more)

    model.replay = replay
    checks = found(model)
    assert checks["repeats"].holds is False
    assert "changes what is kept" in checks["repeats"].found


def test_a_block_that_changes_its_input_is_named():
    model = random_model(3)

    def change(module, inputs, named):
        (named.get("hidden_states") if not inputs else inputs[0]).mul_(1.1)

    handle = model.blocks[2].register_forward_pre_hook(change, with_kwargs=True)
    checks = found(model)
    handle.remove()
    assert checks["in place"].holds is False
    assert "after block 1 it is changed" in checks["in place"].found


def test_what_overflows_is_named():
    model = random_model(3)
    model.blocks[1].mlp.down_proj.weight.data.fill_(float("inf"))
    assert "finite" in failing(model)
    assert "block 1 holds NaN or infinity" in found(model)["finite"].found


def test_code_that_fails_is_a_check_that_does_not_hold():
    model = random_model(3)

    def fail(*_, **__):
        raise ZeroDivisionError("a stranger's\nlong story")

    model.replay = fail
    checks = found(model)
    assert checks["replays"].found == "it fails: a stranger's"
    assert checks["taps"].holds


def test_float32_is_measured_where_there_is_room(organism_files, monkeypatch):
    from harness.models.loading import load_model

    model = load_model(organism_files, dtype="bfloat16")
    sample = sample_of(model)
    with torch.no_grad():
        (check,) = numbers.float32(model, organism_files, sample.few)
        assert check.holds
        assert 0 < check.value < check.bound
        monkeypatch.setattr(
            numbers,
            "load_model",
            lambda *_, **__: load_model(organism_files).__class__(
                random_like(model), model.tokenizer
            ),
        )
        (check,) = numbers.float32(model, organism_files, sample.few)
        assert check.holds is False
        monkeypatch.setattr(numbers, "free_memory", lambda _: 1000)
        (check,) = numbers.float32(model, organism_files, sample.few)
    assert check.holds is None
    assert "too big to load twice" in check.found
    (check,) = numbers.dtype(model, organism_files)
    assert (check.holds, check.found) == (True, "stored in float32, computed in bfloat16")


def random_like(model):
    network = deepcopy(model.network).float()
    for weight in network.parameters():
        weight.data.normal_(std=0.1)
    return network


@pytest.fixture
def organism_files():
    from harness.models.model_files import ModelFiles
    from harness.paths import bundled

    return ModelFiles(bundled("fixtures", "organism"), "organism")
