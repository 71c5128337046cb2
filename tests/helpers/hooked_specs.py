"""Small runs of random dictionaries at any site of the organism, from files in SAELens' layout."""

import json

import torch
from safetensors.torch import save_file

from harness.models.loading import load_model
from harness.models.model_files import ModelFiles
from harness.paths import bundled
from tests.helpers.specs import family_lines

LAYERS = (2, 4)
HOOKS = {
    "mlp_out": ("hook_mlp_out", None),
    "attn_out": ("attn.hook_z", None),
    "transcoder": ("mlp.hook_in", "hook_mlp_out"),
    "resid_pre": ("hook_resid_pre", None),
}
WIDTH, FEATURES, KEPT = 128, 96, 12


def z_width():
    model = load_model(ModelFiles(bundled("fixtures", "organism"), "organism"))
    return model.at("attn_z").held_width


def write(folder, hook, layer, read=None):
    """A random TopK dictionary, or transcoder, as SAELens writes one; `read` is another name of its place."""
    usual, written = HOOKS[hook]
    read = read or usual
    width = z_width() if read == "attn.hook_z" else WIDTH
    generator = torch.Generator().manual_seed(layer)
    encoder = torch.randn(width, FEATURES, generator=generator) / width**0.5
    decoder = torch.nn.functional.normalize(
        torch.randn(FEATURES, width, generator=generator), dim=1
    )
    config = {
        "architecture": "transcoder" if written else "topk", "d_in": width, "d_sae": FEATURES, "k": KEPT,
        "apply_b_dec_to_input": False, "hook_name": f"blocks.{layer}.{read}", "normalize_activations": "none",
        "dtype": "float32",
    }  # fmt: skip
    if written:
        config |= {"hook_name_out": f"blocks.{layer}.{written}", "d_out": width}
    place = folder / f"blocks.{layer}.{read}"
    place.mkdir(parents=True)
    (place / "cfg.json").write_text(json.dumps(config))
    tensors = {
        "W_enc": encoder,
        "b_enc": torch.zeros(FEATURES),
        "W_dec": decoder,
        "b_dec": torch.zeros(width),
    }
    save_file(tensors, place / "sae_weights.safetensors")


def spec_of(folder, hook, positions="all"):
    (folder / "few.jsonl").write_text("".join(json.dumps(line) + "\n" for line in family_lines(8)))
    spec = folder / "places.yaml"
    spec.write_text(
        f"""name: places
question: Does what is read there move the answers?
targets:
  organism: {{sae: {folder / "saes"}, hook: {hook}, layers: [2, 4]}}
prompts: few.jsonl
readout: {{at: last_prompt_token}}
ablations:
  - {{name: top, select: {{top: 6, by: attribution}}, kind: zero, positions: {positions}, controls: 4}}
claims:
  - {{name: moves, ablation: top, direction: toward-correct}}
"""
    )
    return spec
