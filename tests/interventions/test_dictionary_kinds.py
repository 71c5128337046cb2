"""Edits of TopK, normalising and transcoding dictionaries, at every site, against plain hooks by hand."""

import dataclasses
from functools import partial

import pytest
import torch

from harness.errors import CannotRun
from harness.interventions.edits import directions
from harness.interventions.resampling import choose_sources
from harness.sae import encode
from tests.helpers.edits import an_ablation, an_edit, impacts_of, run_context
from tests.helpers.random_dictionaries import KINDS, WIDTH, dictionary
from tests.helpers.specs import ablation_plan

FEATURES = ((1, 3), (1, 9), (1, 11), (2, 5), (2, 8))
SITES = ("resid_post", "resid_pre", "mlp_out", "attn_out", "attn_z", "transcoder")
WHERE = {
    "resid_pre": ("", True), "resid_post": ("", False), "attn_z": ("self_attn.o_proj", True),
    "attn_out": ("post_attention_layernorm", False), "mlp_out": ("post_feedforward_layernorm", False),
    "transcoder": ("post_feedforward_layernorm", False),
}  # fmt: skip


def normalised(one, x):
    """x (width,) as the encoder sees it, and by what its output is scaled."""
    if one.norm == "layer_norm":
        centred = x - sum(x) / len(x)
        spread = (sum(centred**2) / (len(x) - 1)) ** 0.5
        return centred / (spread + 1e-5), spread
    if one.norm == "constant_norm_rescale":
        length = sum(x**2) ** 0.5 / len(x) ** 0.5
        return x / length, length
    return x, 1.0


def values_of(one, x):
    """All features' values at a token's input x (width,), and the scale of what they write."""
    seen, scale = normalised(one, x)
    pre = [float(seen @ one.w_enc[:, f].double() + one.b_enc[f].double()) for f in range(64)]
    kept = set(range(64))
    if one.top_k is not None:
        kept = set(sorted(kept, key=lambda f: -pre[f])[: one.top_k])
    return [
        p if f in kept and p > float(one.threshold[f]) else 0.0 for f, p in enumerate(pre)
    ], scale


NEW = {"zero": lambda f, _: 0.0, "scale": lambda f, _: 3 * f, "steer": lambda f, _: f - 2.0,
       "resample": lambda f, sourced: sourced}  # fmt: skip


def along(layer, width=WIDTH):
    """A direction of length 1."""
    drawn = torch.randn(width, generator=torch.Generator().manual_seed(40 + layer))
    return drawn / drawn.norm()


def plain(model, prompt, answer, edit, of, sourced=None, keep=None):
    """Log-probabilities of an answer, with an edit made by a plain hook; `keep` gets what is read."""
    tokens = model.tokens(prompt.text, answer)
    ids, start = [*tokens.prompt, *tokens.answers[0]], len(tokens.prompt)
    read: dict[int, torch.Tensor] = {}

    def moved(layer, inputs, written):
        one, out = of(layer), written.clone()
        if keep is not None:
            keep[layer] = inputs[0].double()
        for at in range(1, len(ids)):
            found, scale = values_of(one, inputs[0, at].double())
            added = torch.zeros(out.shape[-1], dtype=torch.float64)
            for number, feature in edit.features:
                if number == layer:
                    source = None
                    if sourced is not None:
                        there = at - start + sourced[1]
                        if there < 1:
                            continue
                        source = values_of(one, sourced[0][layer][there])[0][feature]
                    change = NEW[edit.kind](found[feature], source) - found[feature]
                    added += change * scale * one.w_dec[feature].double()
            if edit.baseline:
                added = sum(added**2) ** 0.5 * along(layer).double()
            out[0, at] += added.float()
        return out

    handles = []
    for layer in edit.layers:
        block, site = model.network.model.layers[layer], of(layer).site
        path, is_input = WHERE[site]
        part = block.get_submodule(path) if path else block
        if site == "transcoder":

            def see(_module, inputs, layer=layer):
                read[layer] = inputs[0]

            handles.append(block.mlp.register_forward_pre_hook(see))

        def before(_module, inputs, layer=layer):
            return (moved(layer, inputs[0], inputs[0]), *inputs[1:])

        def after(_module, _inputs, output, layer=layer):
            first = output[0] if isinstance(output, tuple) else output
            return moved(layer, read.get(layer, first), first)

        hook = part.register_forward_pre_hook if is_input else part.register_forward_hook
        handles.append(hook(before if is_input else after))
    logits = model.network(torch.tensor([ids]), use_cache=False).logits[0, start - 1 : -1]
    for handle in handles:
        handle.remove()
    logprobs = logits.double().log_softmax(-1)
    return float(sum(logprobs[i, token] for i, token in enumerate(ids[start:])))


def tools_at(site, kind):
    of = partial(dictionary, site=site, kind=kind)
    tools = run_context()
    return dataclasses.replace(tools, model=tools.model.at(site), saes=of), of


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("kind", KINDS)
def test_impacts_are_those_of_a_plain_hook_on_the_module(site, kind):
    tools, of = tools_at(site, kind)
    plan = ablation_plan()
    prompts = plan.of("confirmation")[:2]
    edits = [
        an_edit(name, (3.0,) * 5 if name == "scale" else (-2.0,) * 5 if name == "steer" else None,
                features=FEATURES, number=number)
        for number, name in enumerate(("zero", "scale", "steer"))
    ]  # fmt: skip
    edits += [dataclasses.replace(one, role="baseline", baseline="probe") for one in edits[1:]]
    directions = {"probe": {layer: along(layer) for layer in (1, 2)}}
    summed, _ = impacts_of(tools, edits, prompts, directions=directions)
    moved = 0.0
    for number, edit in enumerate(edits):
        for prompt in prompts:
            after = plain(tools.model, prompt, prompt.correct, edit, of)
            none = dataclasses.replace(edit, features=())
            before = plain(tools.model, prompt, prompt.correct, none, of)
            impact = summed[number, prompt.id, "log_p_correct"][2]
            assert impact == pytest.approx(after - before, abs=5e-5)
            moved = max(moved, abs(after - before))
    assert moved > 1e-2


@pytest.mark.parametrize("site", ["resid_post", "attn_z", "transcoder"])
def test_values_of_a_source_are_read_as_the_dictionary_reads_them(site):
    tools, of = tools_at(site, "topk of a normed stream")
    plan = ablation_plan()
    prompts = [p for p in plan.of("confirmation") if p.label == "misconception"][:2]
    edit = an_edit("resample", features=FEATURES)
    sources = choose_sources(plan, an_ablation(kind="resample", source="pair"))
    summed, _ = impacts_of(tools, [edit], prompts, sources)
    moved = 0.0
    for prompt in prompts:
        source, kept = sources[prompt.id], {}
        still = dataclasses.replace(edit, kind="scale", features=FEATURES)
        NEW["scale"], tripled = lambda f, _: f, NEW["scale"]
        try:
            before = plain(tools.model, prompt, prompt.correct, still, of)
            plain(tools.model, source, prompt.correct, still, of, keep=kept)
        finally:
            NEW["scale"] = tripled
        place = len(tools.model.tokens(source.text, prompt.correct).prompt)
        after = plain(tools.model, prompt, prompt.correct, edit, of, (kept, place))
        impact = summed[0, prompt.id, "log_p_correct"][2]
        assert impact == pytest.approx(after - before, abs=5e-5)
        moved = max(moved, abs(after - before))
    assert moved > 1e-3


@pytest.mark.parametrize("site", SITES)
def test_what_edits_nothing_changes_nothing_to_the_bit(site):
    tools, _ = tools_at(site, "topk of a normed stream")
    prompts = ablation_plan().of("confirmation")[:3]
    edits = [
        an_edit("zero", features=FEATURES),
        an_edit("zero", features=FEATURES, role="no-op", number=1),
    ]
    summed, _ = impacts_of(tools, edits, prompts)
    assert all(summed[1, prompt.id, "log_p_correct"][2] == 0 for prompt in prompts)
    assert any(summed[0, prompt.id, "log_p_correct"][2] != 0 for prompt in prompts)


@pytest.mark.parametrize(
    "site, kind, said",
    [("transcoder", "topk", "another place"), ("mlp_out", "layer_norm", "normalised")],
)
def test_a_direction_is_refused_where_it_would_be_another_one(site, kind, said):
    with pytest.raises(CannotRun, match=said):
        directions(dictionary(1, site, kind))


def test_a_direction_is_no_feature_that_others_could_displace():
    one = dictionary(1, "resid_post", "topk")
    span = directions(one.only(torch.tensor([3, 9])))
    x = torch.randn(50, WIDTH, generator=torch.Generator().manual_seed(5))
    projected = encode(span, x) @ span.w_dec
    rows = one.w_dec[[3, 9]]
    wanted = (torch.linalg.pinv(rows) @ (rows @ x.T)).T
    torch.testing.assert_close(projected, wanted, atol=1e-5, rtol=1e-5)
