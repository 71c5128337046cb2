"""Every family of decoders against transformers' own plain forward and plain hooks."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, LlamaModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from harness.errors import InputError
from harness.models import architecture
from harness.models.architecture import FAMILIES, Architecture
from harness.models.language_model import LanguageModel
from harness.models.padded_batch import reads_of
from harness.models.suffix import compact, suffix_of
from harness.models.trial_forwards import differences, try_family
from harness.testing.models import ARCHITECTURES, random_model, tokenizer
from tests.helpers.tiny_families import tiny

# Longer than a window of 8 tokens, of different lengths, with answers of several tokens beside each other.
TEXTS = [
    "A ball is thrown straight up. At the top its velocity is",
    "For a ferry, the velocity-time graph is a straight line. Its slope is",
    "Its velocity is",
]
ANSWERS = ("downward and then upward", "zero", "not zero")


def scaled(stream, factor=1.5):
    """Every other dimension: a norm takes a factor of all of them back."""
    stream = stream.clone()
    stream[..., ::2] *= factor
    return stream


def plain(network, ids, answer, block=None, factor=1.0):
    """An answer's log-probabilities by the network alone, its stream after a block scaled by a hook."""

    def hook(_module, _inputs, output):
        stream = output[0] if isinstance(output, tuple) else output
        stream = torch.cat([stream[:, :1], scaled(stream[:, 1:], factor)], 1)
        return (stream, *output[1:]) if isinstance(output, tuple) else stream

    blocks = [one for one in network.modules() if isinstance(one, torch.nn.ModuleList)]
    blocks = next(one for one in blocks if len(one) == 4 and hasattr(one[0], "mlp"))
    handle = blocks[block].register_forward_hook(hook) if block is not None else None
    logits = network(torch.tensor([[*ids, *answer]]), use_cache=False).logits[0].float()
    if handle:
        handle.remove()
    logprobs = logits.log_softmax(-1)
    return torch.stack([logprobs[len(ids) + i - 1, token] for i, token in enumerate(answer)])


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_scores_and_replays_are_those_of_the_network_alone(name, side):
    model = random_model(3, side, architecture=name)
    assert model.architecture.family.known
    rows = [model.tokens(text, *ANSWERS) for text in TEXTS]
    for scores, row in zip(model.forward(model.batch(rows)), rows, strict=True):
        for found, answer in zip(scores, row.answers, strict=True):
            wanted = plain(model.network, row.prompt, answer)
            torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-5)
    for block in range(4):
        moved = 0.0
        kept = model.cached_forward(*compact(batch := model.batch(rows), reads_of(batch)), [block])
        first = (kept.batch.branch >= 0).long().argmax(1) + 1  # after BOS
        suffix = suffix_of(kept.batch, kept.reads, torch.arange(3), first)
        stream = scaled(suffix.of(kept.held[block]))
        logprobs = model.replay(kept, suffix, block, stream)
        for i, row in enumerate(rows):
            at, token, whose = kept.reads.at[i], kept.reads.token[i], kept.reads.answer[i]
            for number, answer in enumerate(row.answers):
                mine = whose == number
                found = logprobs[i, at[mine], token[mine]]
                wanted = plain(model.network, row.prompt, answer, block, 1.5)
                torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-5)
                unedited = plain(model.network, row.prompt, answer)
                moved = max(moved, float((wanted - unedited).abs().max()))
        assert moved > 1e-3


@pytest.mark.filterwarnings("ignore")  # of configurations smaller than any that is trained
@pytest.mark.parametrize("kind", sorted({*FAMILIES} - {"gemma3"}))  # which sees pictures: below
def test_every_family_of_the_table_passes_the_trial_of_unknown_ones(kind):
    assert all(far < 1e-4 for far, _ in differences(tiny(kind)))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_taps_see_what_transformers_calls_hidden_states(name):
    model = random_model(3, architecture=name)
    row = model.tokens(TEXTS[0], ANSWERS[1])
    seen = {}
    model.forward(model.batch([row]), {i: lambda x, i=i: seen.__setitem__(i, x) for i in range(4)})
    ids = torch.tensor([row.prompt])
    hidden = model.network(ids, output_hidden_states=True).hidden_states
    assert len(hidden) == 5
    for block in range(3):
        found = seen[block][0, : len(row.prompt)]
        torch.testing.assert_close(found, hidden[block + 1][0], atol=2e-5, rtol=1e-5)
    # The last of transformers' own is after the final norm.
    found = model.architecture.norm(seen[3][0, : len(row.prompt)])
    torch.testing.assert_close(found, hidden[4][0], atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_measures_are_those_of_what_is_kept(name):
    model = random_model(architecture=name)
    kept = model.cached_forward(
        *compact(batch := model.batch([model.tokens(TEXTS[0], "zero")]), reads_of(batch)), [0]
    )
    keys, _ = kept.keys_and_values[1]
    assert keys.shape[1] * keys.shape[3] == model.architecture.cached_width
    assert model.width == kept.held[0].shape[-1] == 32
    assert model.architecture.widest_inside in (64, 128)


def test_rows_beyond_a_window_that_a_family_takes_by_columns_are_refused():
    model = random_model(architecture="gpt_neo")
    assert model.tokens("zero " * 30 + "zero", "zero")
    with pytest.raises(InputError, match="with all of its answers, the model takes 64"):
        model.tokens("zero " * 30 + "zero", *["zero " * 16 + "up", "zero " * 16 + "down"])
    with pytest.raises(InputError, match="with its answer, the model takes 256"):
        random_model(architecture="llama").tokens("zero " * 255 + "zero", "zero")


class OwnConfig(LlamaConfig):
    model_type = "of_a_lab"


def of_a_lab(change=lambda network: None, **more):
    """A model of a family that the table does not have."""
    config = OwnConfig(
        vocab_size=len(tokenizer()), hidden_size=32, intermediate_size=64, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=2, attn_implementation="eager", **more,
    )  # fmt: skip
    torch.manual_seed(0)
    network = LlamaForCausalLM(config)
    for weight in network.parameters():
        weight.data.normal_(std=0.4)
    change(network)
    return network


def test_an_unknown_family_that_behaves_is_taken():
    model = LanguageModel(of_a_lab(), tokenizer())
    assert not model.architecture.family.known
    try_family(model)
    row = model.tokens(TEXTS[0], ANSWERS[0])
    found = model.forward(model.batch([row]))[0][0]
    wanted = plain(model.network, row.prompt, row.answers[0])
    torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-5)


def drops_masks(network):
    def forward(self, *args, attention_mask=None, **named):
        return LlamaModel.forward(self, *args, **named)

    network.model.forward = forward.__get__(network.model)


def looks_back(network):
    """Each block takes something from the block before, as families that share keys do."""

    class Layer(LlamaDecoderLayer):
        seen = None

        def forward(self, hidden_states, **named):
            before, Layer.seen = Layer.seen, hidden_states
            found = super().forward(hidden_states, **named)
            same = before is not None and before.shape == found.shape
            return found + before if same else found

    for block in network.model.layers:
        block.__class__ = Layer


def forgets(network):
    """Each block hides keys of more than 16 tokens ago, by a window of another name."""

    class Layer(LlamaDecoderLayer):
        def forward(self, hidden_states, attention_mask=None, **named):
            queries, keys = attention_mask.shape[-2:] if attention_mask is not None else (0, 0)
            if keys:
                far = torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries - 16)
                lowest = torch.finfo(attention_mask.dtype).min
                attention_mask = attention_mask.masked_fill(far, lowest)
            return super().forward(hidden_states, attention_mask=attention_mask, **named)

    for block in network.model.layers:
        block.__class__ = Layer


def raises(network):
    def forward(self, *args, **named):
        raise TypeError("takes no masks\nof that kind")

    network.model.layers[0].forward = forward.__get__(network.model.layers[0])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (drops_masks, "change each other"),
        (looks_back, "does not give what an edit does|change each other"),
        (forgets, "does not give what an edit does|change each other"),
        (raises, r"cannot be called one by one \(takes no masks\)"),
    ],
)
def test_an_unknown_family_that_does_not_behave_is_refused_in_a_sentence(change, why):
    model = LanguageModel(of_a_lab(change), tokenizer())
    with pytest.raises(InputError, match=why) as raised:
        try_family(model)
    assert "of_a_lab" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_of_an_unknown_family_nothing_is_assumed_about_its_window():
    network = of_a_lab(sliding_window=20)
    model = LanguageModel(network, tokenizer())
    assert model.tokens("zero " * 10 + "zero", "up")
    with pytest.raises(InputError, match="the model takes 20"):
        model.tokens("zero " * 20 + "zero", "up")


@pytest.mark.parametrize("kinds", [["linear_attention", "full_attention"], ["chunked_attention"]])
def test_blocks_without_keys_are_refused_in_a_sentence(kinds):
    network = random_model(architecture="llama").network
    network.config.layer_types = kinds * 2
    with pytest.raises(InputError, match=f"blocks of {kinds[0]}"):
        Architecture(network)


def test_a_network_without_blocks_is_refused():
    network = random_model(architecture="llama").network
    network.model.layers = torch.nn.Sequential(*network.model.layers)
    with pytest.raises(InputError, match="no list of blocks"):
        Architecture(network)


def test_a_network_whose_tokens_see_later_ones_is_refused():
    network = random_model(architecture="gemma3").network
    config = network.config.get_text_config()
    config.use_bidirectional_attention = True
    with pytest.raises(InputError, match="attend to those after them"):
        Architecture(network)


@pytest.mark.parametrize("name", ["layer_norm", "layernorm"])
def test_the_final_norm_is_found_by_other_names(name):
    network = of_a_lab()
    norm = network.model.norm
    del network.model.norm
    setattr(network.model, name, norm)
    assert Architecture(network).norm is norm


def test_the_table_names_families_that_transformers_has():
    assert set(FAMILIES) <= set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    assert architecture.UNKNOWN not in FAMILIES.values()


class Plain:
    """A tokenizer with a BOS that it does not put there by itself, as GPT-2's."""

    all_special_ids = (2,)
    prefix = ()

    def __init__(self, bos=2):
        self.bos_token_id = bos

    def __call__(self, text, add_special_tokens=True):
        ids = [10 + len(word) for word in text.split()]
        ids = [*self.prefix, *ids] if add_special_tokens else ids
        return type("Encoding", (), {"input_ids": ids})


class Marking(Plain):
    prefix = (2,)


class MarkingTwice(Plain):
    all_special_ids = (2, 3)
    prefix = (3, 2)


@pytest.mark.parametrize(
    ("made", "bos", "name", "wanted"),
    [
        (Plain(), "auto", "gpt2", ()),
        (Plain(), "always", "gpt2", (2,)),
        (Plain(), "never", "gemma2", ()),
        (Plain(), "auto", "gemma2", (2,)),
        (Marking(), "auto", "llama", (2,)),
        (Marking(), "always", "llama", (2,)),
        (Marking(), "never", "llama", ()),
        (MarkingTwice(), "auto", "llama", (3, 2)),
        (Plain(None), "auto", "qwen2", ()),
        (Plain(None), "auto", "gemma2", ()),
    ],
)
def test_bos_is_there_once_or_not_at_all_as_asked(made, bos, name, wanted):
    model = LanguageModel(random_model(architecture=name).network, made, bos=bos)
    row = model.tokens("of two", "words more")
    assert row.prompt == (*wanted, 12, 13)
    assert row.answers == ((15, 14),)
    missing = bos == "never" and name == "gemma2"
    assert model.lacks_bos == missing


def test_bos_cannot_be_asked_of_a_tokenizer_without_one():
    model = LanguageModel(random_model(architecture="qwen2").network, Plain(None), bos="always")
    with pytest.raises(InputError, match="the tokenizer has no BOS"):
        model.tokens("It is", "zero")
