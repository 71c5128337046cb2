"""The edit of all features but a set's, of every kind of dictionary and site, against plain hooks by hand."""

import dataclasses
from functools import partial

import pytest
import torch

from harness.interventions import complement_edits
from harness.interventions.resampling import choose_sources
from harness.sae import Sae
from tests.helpers.edits import an_ablation, an_edit, impacts_of, run_context
from tests.helpers.random_dictionaries import KINDS, dictionary
from tests.helpers.specs import ablation_plan

SPARED = ((1, 3), (1, 9), (1, 11), (2, 5), (2, 8))
WHERE = {
    "resid_pre": ("", True), "resid_post": ("", False), "attn_z": ("self_attn.o_proj", True),
    "attn_out": ("post_attention_layernorm", False), "mlp_out": ("post_feedforward_layernorm", False),
    "transcoder": ("post_feedforward_layernorm", False),
}  # fmt: skip
CASES = [
    *[(site, "jumprelu") for site in WHERE],
    *[("resid_post", kind) for kind in KINDS],
    ("attn_z", "topk"),
    ("transcoder", "topk of a normed stream"),
    ("mlp_out", "layer_norm"),
]


def of(layer, site, kind):
    if kind != "jumprelu":
        return dictionary(layer, site, kind)
    one = dictionary(layer, site, "topk")
    return dataclasses.replace(one, top_k=None, threshold=torch.full((64,), 0.4))


# By hand, in float64, a token and a feature at a time: nothing of the harness' edits or encoder.


def values_of(one: Sae, x):
    """All features' values at a token's input x (width,), and the scale of what they write."""
    scale = 1.0
    if one.norm == "layer_norm":
        x = x - x.mean()
        scale = (sum(x**2) / (len(x) - 1)) ** 0.5
        x = x / (scale + 1e-5)
    elif one.norm:
        scale = sum(x**2) ** 0.5 / len(x) ** 0.5
        x = x / scale
    pre = (x[:, None] * one.w_enc.double()).sum(0) + one.b_enc.double()
    last = sorted(pre.tolist())[-(one.top_k or 64)]
    return [
        p if p > t and p >= last else 0.0
        for p, t in zip(pre.tolist(), one.threshold.tolist(), strict=True)
    ], scale


def hooked(model, dictionaries, prompt, answer, change):
    """log p(answer) where `change(layer, from the answer's begin, read)` is added to what is written."""
    tokens = model.tokens(prompt.asked, answer)
    ids, start = [*tokens.prompt, *tokens.answers[0]], len(tokens.prompt)
    handles, read = [], {}
    for layer, one in dictionaries.items():
        block = model.network.model.layers[layer]
        path, is_input = WHERE[one.site]
        part = block.get_submodule(path) if path else block
        if one.site == "transcoder":

            def see(_module, inputs, layer=layer):
                read[layer] = inputs[0]

            handles.append(block.mlp.register_forward_pre_hook(see))

        def moved(written, layer=layer):
            inputs, out = read.get(layer, written), written.clone()
            for at in range(1, len(ids)):
                out[0, at] += change(layer, at - start, inputs[0, at].double()).float()
            return out

        def before(_module, inputs, moved=moved):
            return (moved(inputs[0]), *inputs[1:])

        def after(_module, _inputs, output, moved=moved):
            return moved(output[0] if isinstance(output, tuple) else output)

        hook = part.register_forward_pre_hook if is_input else part.register_forward_hook
        handles.append(hook(before if is_input else after))
    logits = model.network(torch.tensor([ids]), use_cache=False).logits[0, start - 1 : -1]
    for handle in handles:
        handle.remove()
    logprobs = logits.double().log_softmax(-1)
    return float(sum(logprobs[i, token] for i, token in enumerate(ids[start:])))


def by_hand(model, dictionaries, prompt, source, answer):
    """What the complement's edit of all layers does to log p(answer)."""
    sourced, kept = {}, {}

    def remember(of, layer, at, x):
        of[layer, at] = values_of(dictionaries[layer], x)[0]
        return torch.zeros(1, dtype=torch.float64)

    def put(layer, at, x):
        one = dictionaries[layer]
        total = torch.zeros(one.w_dec.shape[1], dtype=torch.float64)
        if (layer, at) not in sourced:
            return total
        own, scale = values_of(one, x)
        for j, (f, v) in enumerate(zip(own, sourced[layer, at], strict=True)):
            v = kept[layer, at][j] if (layer, j) in SPARED else v
            if v != f:
                total += (v - f) * scale * one.w_dec[j].double()
        return total

    hooked(model, dictionaries, source, answer, partial(remember, sourced))
    before = hooked(model, dictionaries, prompt, answer, partial(remember, kept))
    return hooked(model, dictionaries, prompt, answer, put) - before


@pytest.mark.parametrize("site, kind", CASES)
def test_every_other_feature_takes_the_source_s_value(site, kind, monkeypatch):
    monkeypatch.setattr(complement_edits, "ENCODED", 64 * 7)  # seven positions at a time
    tools = run_context()
    tools = dataclasses.replace(
        tools, model=tools.model.at(site), saes=partial(of, site=site, kind=kind)
    )
    plan = ablation_plan()
    prompts = [p for p in plan.of("confirmation") if p.label == "misconception"][:2]
    sources = choose_sources(plan, an_ablation(kind="resample", source="pair"))
    edit = an_edit("resample", role="complement", features=SPARED)
    summed, _ = impacts_of(tools, [edit], prompts, sources)
    layers = {layer: of(layer, site, kind) for layer in (1, 2)}
    prompt = prompts[1]
    expected = by_hand(tools.model, layers, prompt, sources[prompt.id], prompt.correct)
    assert summed[0, prompt.id, "log_p_correct"][2] == pytest.approx(expected, abs=5e-5)
    assert abs(expected) > 1e-2
