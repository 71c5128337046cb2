"""Small dictionaries written by the libraries that publish them, and what those compute of them.

Each kind gets a folder `LIBRARY/KIND/` with the library's own files and `outputs.safetensors`: inputs `x`,
the values of `features` and the `reconstruction`, by the library's own class after it has read its own
files again. `versions.json` says which versions wrote them.

It needs SAELens, sparsify and dictionary_learning, which the tests do not:

    pip install sae-lens==6.54.12 eai-sparsify==1.3.3 dictionary-learning==0.1.0
    python tests/sae/peers/write.py
"""

import json
import shutil
from importlib.metadata import version
from pathlib import Path

import sae_lens
import torch
from dictionary_learning.dictionary import (
    AutoEncoder,
    AutoEncoderNew,
    GatedAutoEncoder,
    JumpReluAutoEncoder,
)
from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE
from dictionary_learning.trainers.top_k import AutoEncoderTopK
from sae_lens import SAE
from sae_lens.saes.sae import SAEMetadata
from safetensors.torch import save_file
from sparsify import SparseCoder, SparseCoderConfig

HERE = Path(__file__).parent
WIDTH, FEATURES, LAYER, K = 16, 48, 5, 6
HOOK = f"blocks.{LAYER}.hook_resid_post"
MLP = {"hook_name": f"blocks.{LAYER}.mlp.hook_in", "hook_name_out": f"blocks.{LAYER}.hook_mlp_out"}
PACKAGES = ("sae-lens", "eai-sparsify", "dictionary-learning", "torch", "safetensors")

# SAELens: the class of the configuration, its arguments, and its hook points.
SIZES = {"d_in": WIDTH, "d_sae": FEATURES}
SAE_LENS = {
    "standard": (sae_lens.StandardSAEConfig, {}, {"hook_name": HOOK}),
    "unsubtracted": (
        sae_lens.StandardSAEConfig, {"apply_b_dec_to_input": False}, {"hook_name": HOOK},
    ),
    "jumprelu": (sae_lens.JumpReLUSAEConfig, {}, {"hook_name": HOOK}),
    "gated": (sae_lens.GatedSAEConfig, {}, {"hook_name": HOOK}),
    "resid_pre": (
        sae_lens.StandardSAEConfig, {}, {"hook_name": f"blocks.{LAYER + 1}.hook_resid_pre"},
    ),
    "topk": (sae_lens.TopKSAEConfig, {"k": K}, {"hook_name": HOOK}),
    "topk_rescaled": (
        sae_lens.TopKSAEConfig, {"k": K, "rescale_acts_by_decoder_norm": True},
        {"hook_name": f"blocks.{LAYER}.hook_mlp_out"},
    ),
    "layer_norm": (
        sae_lens.StandardSAEConfig, {"normalize_activations": "layer_norm"}, {"hook_name": HOOK},
    ),
    "topk_layer_norm": (
        sae_lens.TopKSAEConfig, {"k": K, "normalize_activations": "layer_norm"}, {"hook_name": HOOK},
    ),
    "constant_norm_rescale": (
        sae_lens.StandardSAEConfig, {"normalize_activations": "constant_norm_rescale"},
        {"hook_name": f"blocks.{LAYER}.hook_attn_out"},
    ),
    "hook_z": (
        sae_lens.StandardSAEConfig, {"reshape_activations": "hook_z"},
        {"hook_name": f"blocks.{LAYER}.attn.hook_z"},
    ),
    **{
        kind: (config, {"d_out": WIDTH, "apply_b_dec_to_input": False}, MLP)
        for kind, config in {
            "transcoder": sae_lens.TranscoderConfig,
            "skip_transcoder": sae_lens.SkipTranscoderConfig,
            "jumprelu_transcoder": sae_lens.JumpReLUTranscoderConfig,
            "jumprelu_skip_transcoder": sae_lens.saes.JumpReLUSkipTranscoderConfig,
        }.items()
    },
}  # fmt: skip
TRAINERS = {
    "batchtopk": (sae_lens.BatchTopKTrainingSAE, sae_lens.BatchTopKTrainingSAEConfig, {}),
    "matryoshka_batchtopk": (
        sae_lens.MatryoshkaBatchTopKTrainingSAE,
        sae_lens.MatryoshkaBatchTopKTrainingSAEConfig,
        {"matryoshka_widths": [12, FEATURES]},
    ),
}
# SAELens' configurations before version 6, which it reads still.
BEFORE_6 = {
    "before_6_standard": {"hook_point": HOOK},
    "before_6_topk": {
        "architecture": "standard", "hook_name": HOOK, "activation_fn_str": "topk",
        "activation_fn_kwargs": {"k": K}, "normalize_activations": "layer_norm",
    },
}  # fmt: skip
SPARSIFY = {
    "sae": ("layers.5", {}),
    "sae_with_skip": ("layers.5", {"skip_connection": True}),
    "num_latents": ("model.layers.5.mlp", {"num_latents": 40}),
    "transcoder": ("layers.5.mlp", {"transcode": True}),
    "skip_transcoder": ("layers.5.mlp", {"transcode": True, "skip_connection": True}),
}
DICTIONARIES = {
    "AutoEncoder": lambda: AutoEncoder(WIDTH, FEATURES),
    "AutoEncoderNew": lambda: AutoEncoderNew(WIDTH, FEATURES),
    "GatedAutoEncoder": lambda: GatedAutoEncoder(WIDTH, FEATURES),
    "JumpReluAutoEncoder": lambda: JumpReluAutoEncoder(WIDTH, FEATURES),
    "AutoEncoderTopK": lambda: AutoEncoderTopK(WIDTH, FEATURES, K),
    "BatchTopKSAE": lambda: BatchTopKSAE(WIDTH, FEATURES, K),
    "MatryoshkaBatchTopKSAE": lambda: MatryoshkaBatchTopKSAE(WIDTH, FEATURES, K, [12, 36]),
}


def inputs() -> torch.Tensor:
    """Positions (12, width) of different lengths, whose mean over the width is not 0."""
    return torch.randn(12, WIDTH) * torch.linspace(0.5, 4, 12)[:, None] + torch.linspace(
        -1, 2, WIDTH
    )


def drawn(module: torch.nn.Module) -> torch.nn.Module:
    """The module with random weights and biases; thresholds are of a size that some values pass."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(torch.randn_like(parameter) * (0.3 if parameter.ndim == 2 else 0.7))
            if "threshold" in name:
                parameter.abs_()
        for name, buffer in module.named_buffers():
            if "threshold" in name:
                buffer.fill_(0.8)
    return module


def store(folder: Path, x: torch.Tensor, features: torch.Tensor, made: torch.Tensor) -> None:
    """What the library makes of the inputs, beside its files."""
    shared = {"x": x, "features": features, "reconstruction": made}
    tensors = {key: value.detach().float().contiguous() for key, value in shared.items()}
    assert (tensors["features"] != 0).any()
    save_file(tensors, folder / "outputs.safetensors")


@torch.no_grad()
def of_sae_lens(folder: Path) -> None:
    """SAELens' class, read from its folder, applied to the inputs: of heads, to heads."""
    sae = SAE.load_from_disk(folder)
    x = inputs()
    heads = x.reshape(-1, 4, 4) if sae.cfg.reshape_activations == "hook_z" else x
    # The decoder undoes what the encoder keeps of its input, once.
    features = sae.encode(heads)
    made = sae(heads) if sae.cfg.normalize_activations == "none" else sae.decode(features)
    store(folder, x, features, made.reshape(len(x), -1))


def write_sae_lens(folder: Path) -> None:
    """Every architecture, saved by its own class."""
    for kind, (config, arguments, hooks) in SAE_LENS.items():
        made = config(**SIZES, **arguments, metadata=SAEMetadata(**hooks))
        drawn(SAE.get_sae_class_for_architecture(made.architecture())(made)).save_model(
            folder / kind
        )
        of_sae_lens(folder / kind)
    for kind, (trainer, config, arguments) in TRAINERS.items():
        metadata = SAEMetadata(hook_name=HOOK)
        sae = drawn(trainer(config(**SIZES, k=K, **arguments, metadata=metadata)))
        sae.save_inference_model(folder / kind)
        of_sae_lens(folder / kind)
        # As its trainer keeps it: the same values, of a file that has one threshold.
        sae.save_model(folder / f"{kind}_trainer")
        shutil.copy(folder / kind / "outputs.safetensors", folder / f"{kind}_trainer")
    for kind, config in BEFORE_6.items():
        drawn(sae_lens.StandardSAE(sae_lens.StandardSAEConfig(**SIZES))).save_model(folder / kind)
        (folder / kind / "cfg.json").write_text(json.dumps(SIZES | {"dtype": "float32"} | config))
        of_sae_lens(folder / kind)


@torch.no_grad()
def write_sparsify(folder: Path) -> None:
    """SAEs, and transcoders with and without a skip connection."""
    for kind, (hookpoint, arguments) in SPARSIFY.items():
        config = SparseCoderConfig(expansion_factor=FEATURES // WIDTH, k=K, **arguments)
        drawn(SparseCoder(WIDTH, config)).save_to_disk(folder / kind / hookpoint)
        coder, x = SparseCoder.load_from_disk(folder / kind / hookpoint), inputs()
        found = coder.encode(x)
        features = torch.zeros(len(x), coder.num_latents)
        features.scatter_(1, found.top_indices, found.top_acts)
        store(folder / kind / hookpoint, x, features, coder(x).sae_out)


@torch.no_grad()
def write_dictionary_learning(folder: Path) -> None:
    """Every class, saved as its training saves it: a state dictionary beside `config.json`."""
    for kind, make in DICTIONARIES.items():
        (folder / kind).mkdir(parents=True)
        torch.save(drawn(make()).state_dict(), folder / kind / "ae.pt")
        trainer = {
            "dict_class": kind, "activation_dim": WIDTH, "dict_size": FEATURES, "layer": LAYER,
            "lm_name": "model", "submodule_name": f"resid_post_layer_{LAYER}",
        }  # fmt: skip
        trainer |= {"k": K} if "TopK" in kind else {}
        config = {"trainer": trainer, "buffer": {"io": "out", "ctx_len": 128}}
        (folder / kind / "config.json").write_text(json.dumps(config))
        again, x = make(), inputs()
        again.load_state_dict(torch.load(folder / kind / "ae.pt", weights_only=True))
        features = again.encode(x)
        store(folder / kind, x, features, again.decode(features))


if __name__ == "__main__":
    torch.manual_seed(3)
    for library, write in {
        "sae_lens": write_sae_lens,
        "sparsify": write_sparsify,
        "dictionary_learning": write_dictionary_learning,
    }.items():
        shutil.rmtree(HERE / library, ignore_errors=True)
        write(HERE / library)
    versions = {name: version(name) for name in PACKAGES}
    (HERE / "versions.json").write_text(json.dumps(versions, indent=2) + "\n")
