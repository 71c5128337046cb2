"""Small dictionaries of every kind, trained on what the sites of a small random model hold."""

import json
from functools import cache

import torch

from harness.models.hooks import capture
from harness.models.padded_batch import positions_of
from harness.paths import bundled
from harness.sae.encoding import Sae
from harness.testing.models import random_model

FEATURES, ACTIVE, LAYER = 128, 8, 2
STEPS, BATCH, RATE = 400, 256, 3e-3
SPARSE = 2e-2  # what values of a ReLU cost
SITES = ("resid_post", "resid_pre", "mlp_out", "attn_out", "attn_z", "transcoder")


@cache
def small_model():
    return random_model(3, architecture="gemma2")


def texts():
    """Some prompts."""
    lines = bundled("data", "kinematics.jsonl").read_text(encoding="utf-8").splitlines()[:60]
    return [json.loads(line)["prompt"] for line in lines]


@cache
def held(site):
    """What the site of every block holds at every token but BOS of these."""
    model = small_model().at(site)
    batch = model.batch([model.tokens(text) for text in texts()])
    found = {}
    model.forward(batch, capture(range(model.depth), found, positions_of(batch, "prompt")))
    return found


def sample(site):
    """Some of it, by block."""
    return {block: stream[-100:] for block, stream in held(site).items()}


def beside(layer=LAYER):
    """What every site of a layer holds."""
    return {site: sample(site)[layer] for site in SITES}


def normed(norm, read):
    """What is read, as it is normalised, and what is added to it and multiplied with it to undo that."""
    if norm == "layer_norm":
        mean, spread = read.mean(1, keepdim=True), read.std(1, keepdim=True)
        return (read - mean) / spread, mean, spread
    scale = read.norm(dim=1, keepdim=True) / read.shape[1] ** 0.5 if norm else read.new_ones(1, 1)
    return read / scale, 0 * scale, scale


def train(read, written, *, top_k=None, norm=None, skip=False, steps=STEPS, **named):
    """A dictionary of what is `read` (n, width) that writes what is `written` (n, width written).

    TopK where a k is given, and else a ReLU whose values are kept few by their sum.
    """
    generator = torch.Generator().manual_seed(0)
    seen, shift, scale = normed(norm, read)
    aim = (written - shift) / scale
    passed = torch.linalg.lstsq(read, written).solution / 2 if skip else None
    if skip:
        aim = aim - read @ passed
    inward, outward = float(seen.std()), float(aim.std())
    seen, aim, mean = seen / inward, aim / outward, (aim / outward).mean(0)
    decoder = torch.nn.functional.normalize(
        torch.randn(FEATURES, aim.shape[1], generator=generator), dim=1
    )
    encoder = torch.randn(seen.shape[1], FEATURES, generator=generator) / seen.shape[1] ** 0.5
    if seen.shape == aim.shape:
        encoder = decoder.T.clone()
    weights = [encoder, torch.zeros(FEATURES), decoder, mean]
    for weight in weights:
        weight.requires_grad_()
    optimizer = torch.optim.Adam(weights, lr=RATE)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = RATE * min(1.0, 3 * (1 - step / steps))
        chosen = torch.randint(len(seen), (BATCH,), generator=generator)
        before = seen[chosen] @ weights[0] + weights[1]
        values = torch.relu(before)
        if top_k:
            kept = before.topk(top_k, dim=1).indices
            values = torch.zeros_like(values).scatter(1, kept, values.gather(1, kept))
        loss = (values @ weights[2] + weights[3] - aim[chosen]).square().mean()
        if not top_k:
            loss = loss + SPARSE * values.sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            decoder /= decoder.norm(dim=1, keepdim=True)
    w_enc, b_enc, w_dec, b_dec = (weight.detach() for weight in weights)
    return Sae(  # with decoder rows of length 1
        w_enc / inward * outward, b_enc * outward, w_dec, b_dec * outward, torch.zeros(FEATURES),
        relu=not top_k, top_k=top_k, norm=norm, skip=passed, **named,
    )  # fmt: skip


# By name, the site and what is trained there.
KINDS = {
    "topk": ("resid_post", {"top_k": ACTIVE}),
    "relu": ("resid_post", {}),
    "layer norm": ("resid_post", {"top_k": ACTIVE, "norm": "layer_norm"}),
    "rescaled": ("resid_post", {"top_k": ACTIVE, "norm": "constant_norm_rescale"}),
    "mlp": ("mlp_out", {"top_k": ACTIVE}),
    "heads": ("attn_z", {"top_k": ACTIVE}),
    "before": ("resid_pre", {"top_k": ACTIVE}),
    "transcoder": ("transcoder", {"top_k": ACTIVE, "steps": 600}),
    "skipping": ("transcoder", {"top_k": ACTIVE, "skip": True, "steps": 600}),
}


@cache
def dictionary(kind):
    """The dictionary of a kind, of the block `LAYER`."""
    site, recipe = KINDS[kind]
    there = held(site)[LAYER]
    width = small_model().width
    read, written = (there[:, :-width], there[:, -width:]) if site == "transcoder" else (there, there)  # fmt: skip
    return train(read, written, site=site, **recipe)
