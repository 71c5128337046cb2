"""Sites within a block against plain hooks on the network's own modules."""

import pytest
import torch

from harness.errors import InputError
from harness.models.architecture import FAMILIES
from harness.models.hooks import capture
from harness.models.padded_batch import Tokens, reads_of
from harness.models.suffix import compact, suffix_of
from harness.models.trial_sites import replayed, sums, try_site
from harness.testing.models import random_model
from tests.helpers.tiny_families import tiny

SITES = ("resid_pre", "attn_out", "attn_z", "mlp_out", "transcoder")
TEXTS = [
    "A ball is thrown straight up. At the top its velocity is",
    "For a ferry, the velocity-time graph is a straight line. Its slope is",
    "Its velocity is",
]
ANSWERS = ("downward and then upward", "zero", "not zero")
# Where the peer's own names put them: the module, and whether it is its input that counts.
NAMED = {
    "gemma2": {
        "attn_out": ("post_attention_layernorm", False), "attn_z": ("self_attn.o_proj", True),
        "mlp_out": ("post_feedforward_layernorm", False), "mlp_in": ("mlp", True),
    },
    "llama": {
        "attn_out": ("self_attn", False), "attn_z": ("self_attn.o_proj", True),
        "mlp_out": ("mlp", False), "mlp_in": ("mlp", True),
    },
    "gpt2": {
        "attn_out": ("attn", False), "attn_z": ("attn.c_proj", True),
        "mlp_out": ("mlp", False), "mlp_in": ("mlp", True),
    },
    "gpt_neox": {
        "attn_out": ("attention", False), "attn_z": ("attention.dense", True),
        "mlp_out": ("mlp", False), "mlp_in": ("mlp", True),
    },
}  # fmt: skip


def blocks_in(network):
    lists = [one for one in network.modules() if isinstance(one, torch.nn.ModuleList)]
    return next(one for one in lists if len(one) == 4 and hasattr(one[0], "mlp"))


def edited(tensor, factor):
    """Every other dimension at every column but the first."""
    tensor = tensor.clone()
    tensor[:, 1:, ::2] *= factor
    return tensor


def hooked(network, name, site, block, factor):
    """Hooks of our own on the network's modules; what they see is put into the list that is returned."""
    module = blocks_in(network)[block]
    seen, handles = [], []
    if site == "resid_pre":

        def before(_module, inputs):
            seen.append(inputs[0])
            return (edited(inputs[0], factor), *inputs[1:])

        return seen, [module.register_forward_pre_hook(before)]
    path, is_input = NAMED[name]["mlp_out" if site == "transcoder" else site]
    part = module.get_submodule(path)

    def before(_module, inputs):
        seen.append(inputs[0])
        return (edited(inputs[0], factor), *inputs[1:])

    def after(_module, _inputs, output):
        first = output[0] if isinstance(output, tuple) else output
        seen.append(first)
        first = edited(first, factor)
        return (first, *output[1:]) if isinstance(output, tuple) else first

    if site == "transcoder":
        read = module.get_submodule(NAMED[name]["mlp_in"][0])
        handles.append(read.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0])))
    handles.append(
        part.register_forward_pre_hook(before) if is_input else part.register_forward_hook(after)
    )
    return seen, handles


def plain(network, name, ids, answer, site, block, factor=1.0):
    """An answer's log-probabilities by the network and our hooks alone, and what they saw."""
    seen, handles = hooked(network, name, site, block, factor)
    logits = network(torch.tensor([[*ids, *answer]]), use_cache=False).logits[0].float()
    for handle in handles:
        handle.remove()
    logprobs = logits.log_softmax(-1)
    scores = torch.stack([logprobs[len(ids) + i - 1, token] for i, token in enumerate(answer)])
    return scores, torch.cat(seen, -1)[0, : len(ids)]


def scaled_part(held, site):
    """The same edit on what we hold, of a transcoder's site on what it writes alone."""
    start = held.shape[-1] // 2 if site == "transcoder" else 0
    held = held.clone()
    held[..., start::2] *= 1.5
    return held


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("name", NAMED)
def test_what_is_seen_and_edited_is_what_hooks_on_the_modules_see_and_edit(name, site, side):
    model = random_model(3, side, architecture=name).at(site)
    rows = [model.tokens(text, *ANSWERS) for text in TEXTS]
    for block in range(4):
        moved = 0.0
        kept = model.cached_forward(*compact(batch := model.batch(rows), reads_of(batch)), [block])
        first = (kept.batch.branch >= 0).long().argmax(1) + 1  # after BOS
        suffix = suffix_of(kept.batch, kept.reads, torch.arange(3), first)
        logprobs = model.replay(kept, suffix, block, scaled_part(suffix.of(kept.held[block]), site))
        for i, row in enumerate(rows):
            at, token, whose = kept.reads.at[i], kept.reads.token[i], kept.reads.answer[i]
            for number, answer in enumerate(row.answers):
                mine = whose == number
                wanted, _ = plain(model.network, name, row.prompt, answer, site, block, 1.5)
                found = logprobs[i, at[mine], token[mine]]
                torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-5)
                unedited, seen = plain(model.network, name, row.prompt, answer, site, block)
                columns = (kept.batch.branch[i] == 0).nonzero()[:, 0]
                held = kept.held[block][i, columns]
                torch.testing.assert_close(held, seen, atol=2e-5, rtol=1e-5)
                moved = max(moved, float((wanted - unedited).abs().max()))
        assert moved > 1e-3
    assert model.taps_left == 0


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("name", ["gemma2", "gpt2"])
def test_later_blocks_are_edited_at_the_site_too(name, site):
    model = random_model(3, architecture=name).at(site)
    row = model.tokens(TEXTS[0], "zero")
    kept = model.cached_forward(*compact(batch := model.batch([row]), reads_of(batch)), [1, 3])
    suffix = suffix_of(kept.batch, kept.reads, torch.arange(1), torch.ones(1, dtype=torch.long))
    start = scaled_part(suffix.of(kept.held[1]), site)
    found = model.replay(kept, suffix, 1, start, {3: lambda held: scaled_part(held, site)})
    _, handles = hooked(model.network, name, site, 1, 1.5)
    handles += hooked(model.network, name, site, 3, 1.5)[1]
    (token,) = row.answers[0][:1]
    logits = model.network(torch.tensor([row.prompt]), use_cache=False).logits[0, -1]
    for handle in handles:
        handle.remove()
    mine = kept.reads.at[0, 0]
    wanted = logits.float().log_softmax(-1)[token]
    torch.testing.assert_close(found[0, mine, token], wanted, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("site", SITES)
def test_gradients_reach_the_site_and_nothing_before_it(site):
    model = random_model(3, architecture="gemma2").at(site)
    row = model.tokens(TEXTS[0], "zero")
    kept = model.cached_forward(*compact(batch := model.batch([row]), reads_of(batch)), [2])
    suffix = suffix_of(kept.batch, kept.reads, torch.arange(1), torch.ones(1, dtype=torch.long))
    held = suffix.of(kept.held[2])
    direction = torch.zeros_like(held)
    direction[..., held.shape[-1] // 2 :] = torch.randn(
        held[..., held.shape[-1] // 2 :].shape, generator=torch.Generator().manual_seed(0)
    )
    at, token = int(kept.reads.at[0, 0]), row.answers[0][0]

    def score(shift):
        leaf = held + shift * direction
        return model.replay(kept, suffix, 2, leaf)[0, at, token]

    leaf = held.clone().requires_grad_()
    model.replay(kept, suffix, 2, leaf, gradients=True)[0, at, token].backward()
    slope = float((leaf.grad * direction).sum())
    wanted = float(score(1e-2) - score(-1e-2)) / 2e-2
    assert slope == pytest.approx(wanted, rel=0.02, abs=1e-4)
    assert abs(wanted) > 1e-3


OWN_FACTOR = {kind: {"residual_multiplier": 0.3} for kind in ("granite", "granitemoe")}


@pytest.mark.filterwarnings("ignore")  # of configurations smaller than any that is trained
@pytest.mark.parametrize("kind", sorted({*FAMILIES} - {"gemma3"}))  # which sees pictures
def test_every_family_of_the_table_has_its_sites(kind):
    model = tiny(kind, **OWN_FACTOR.get(kind, {}))
    assert sums(model) < 1e-5
    for site in SITES:
        assert max(replayed(model.at(site))) < 1e-4, site
        try_site(model.at(site))


def test_a_block_whose_parts_are_not_what_they_seem_is_refused():
    model = random_model(3, architecture="llama")
    for block in model.blocks:
        block.post_feedforward_layernorm = torch.nn.Identity()  # which nothing calls
    with pytest.raises(InputError, match="what attention and MLP add to the stream is not found"):
        try_site(model.at("mlp_out"))
    model = random_model(3, architecture="llama")
    for block in model.blocks:
        del block.mlp
        block.add_module("experts", torch.nn.Identity())
    with pytest.raises(InputError, match="no attention and MLP are found"):
        model.at("attn_z")


def test_a_capture_is_of_the_site():
    model = random_model(3, architecture="gemma2")
    row = model.tokens(TEXTS[0], "zero")
    widths = {}
    for site in SITES:
        held = {}
        at = model.at(site)
        at.forward(at.batch([row]), capture([2], held))
        widths[site] = held[2].shape[-1]
        assert widths[site] == at.held_width
    heads = model.architecture.config.num_attention_heads * model.architecture.config.head_dim
    assert widths["attn_z"] == heads
    assert widths["transcoder"] == 2 * model.width


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("site", ["mlp_out", "attn_out"])
def test_what_a_block_multiplies_is_edited_before_it_does(site):
    """Granite adds three tenths of what its MLP puts out."""
    model = tiny("granite", residual_multiplier=0.3).at(site)
    row = Tokens((11, 23, 5, 17, 29, 7), ((9,),))
    kept = model.cached_forward(*compact(batch := model.batch([row]), reads_of(batch)), [0])
    suffix = suffix_of(kept.batch, kept.reads, torch.arange(1), torch.ones(1, dtype=torch.long))
    logprobs = model.replay(kept, suffix, 0, scaled_part(suffix.of(kept.held[0]), site))
    block = model.network.model.layers[0]
    module = block.mlp if site == "mlp_out" else block.self_attn

    def after(_module, _inputs, output):
        first = output[0] if isinstance(output, tuple) else output
        first = edited(first, 1.5)
        return (first, *output[1:]) if isinstance(output, tuple) else first

    handle = module.register_forward_hook(after)
    logits = model.network(torch.tensor([row.prompt]), use_cache=False).logits[0, -1]
    handle.remove()
    wanted = logits.float().log_softmax(-1)[row.answers[0][0]]
    found = logprobs[0, kept.reads.at[0, 0], row.answers[0][0]]
    torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-5)
