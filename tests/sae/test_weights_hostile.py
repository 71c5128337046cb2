"""Whatever a configuration or a file says, it is read, or refused in one sentence: never a traceback."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.errors import CannotRun
from harness.sae.weights import check_sae, load_sae
from harness.specs.sites import HOOKS
from tests.helpers.cli import invoke

PEERS = Path(__file__).parent / "peers"
WIDTH = 16
KINDS = (
    "sae_lens/topk_layer_norm/sae_weights.safetensors",
    "sae_lens/before_6_topk/sae_weights.safetensors",
    "sae_lens/jumprelu_skip_transcoder/sae_weights.safetensors",
    "sae_lens/batchtopk_trainer/sae_weights.safetensors",
    "sparsify/skip_transcoder/layers.5.mlp/sae.safetensors",
    "dictionary_learning/AutoEncoderTopK/ae.pt",
    "dictionary_learning/GatedAutoEncoder/ae.pt",
)
HOSTILE = (
    None, True, False, 0, -1, 1.5, 17, math.nan, math.inf, -math.inf, 10**400, "", "x" * 10_000, "topk",
    [], {}, [[1]], {"k": 1}, {"in": "x"}, {"in": 10**400}, "\x1b]8;;\n::error::x", "blocks.5.hook_mlp_out",
)  # fmt: skip


def outcome(path, hook):
    """What is said of it, or None where it is read."""
    said = []
    for act in (check_sae, load_sae):
        try:
            act(path, width=WIDTH, layer=5, hook=hook)
        except CannotRun as error:
            text = str(error)
            assert len(text.splitlines()) == 1
            assert len(text) < 1500
            said.append(text)
    return said[0] if said else None


def others(tmp_path):
    """Files and configurations of what no library writes."""

    def state(**names):
        draw = torch.Generator().manual_seed(0)
        return {name: torch.randn(*shape, generator=draw) for name, shape in names.items()}

    d, f = WIDTH, 24
    scope = {
        "d_model": d, "d_sae": f, "act_fn": "jumprelu", "jump_relu_threshold": 0.6, "top_k": 50,
        "hook_point_in": "blocks.5.hook_resid_post", "hook_point_out": "blocks.5.hook_resid_post",
        "norm_activation": "dataset-wise", "dataset_average_activation_norm": {"in": 7.5, "out": 5.0},
        "sparsity_include_decoder_norm": True, "expansion_factor": 2, "use_glu_encoder": False,
    }  # fmt: skip
    linear = {"encoder.weight": (f, d), "encoder.bias": (f,), "decoder.weight": (d, f)}
    (tmp_path / "llama" / "checkpoints").mkdir(parents=True)
    save_file(
        state(**linear, **{"decoder.bias": (d,)}),
        tmp_path / "llama" / "checkpoints" / "final.safetensors",
    )
    (tmp_path / "llama" / "hyperparams.json").write_text(json.dumps(scope))
    own = {"w_enc": (d, f), "b_enc": (f,), "w_dec": (f, d), "b_dec": (d,), "threshold": (f,)}
    for folder in ("gemma", "qwen", "tracer"):
        (tmp_path / folder).mkdir()
    gemma = {"architecture": "jump_relu", "hf_hook_point_in": "model.layers.5.output", "affine_connection": False, "l0": 9}  # fmt: skip
    save_file(
        {key: value.abs() for key, value in state(**own).items()},
        tmp_path / "gemma" / "params.safetensors",
    )
    (tmp_path / "gemma" / "config.json").write_text(json.dumps(gemma))
    turned = state(W_enc=(f, d), b_enc=(f,), W_dec=(d, f), b_dec=(d,))
    torch.save(turned, tmp_path / "qwen" / "layer5.sae.pt")
    (tmp_path / "qwen" / "config.json").write_text(json.dumps({"k": 4, "d_in": d, "d_sae": f}))
    save_file(
        turned | {"W_dec": turned["W_dec"].T.contiguous()},
        tmp_path / "tracer" / "layer_5.safetensors",
    )
    hooks = {"model_kind": "transcoder_set", "feature_input_hook": "mlp.hook_in", "feature_output_hook": "hook_mlp_out"}  # fmt: skip
    (tmp_path / "tracer" / "config.yaml").write_text(json.dumps(hooks))
    return {
        tmp_path / "llama" / "checkpoints" / "final.safetensors": tmp_path / "llama/hyperparams.json",
        tmp_path / "gemma" / "params.safetensors": tmp_path / "gemma/config.json",
        tmp_path / "qwen" / "layer5.sae.pt": tmp_path / "qwen/config.json",
        tmp_path / "tracer" / "layer_5.safetensors": tmp_path / "tracer/config.yaml",
    }  # fmt: skip


def changes(config):
    """The configuration with each of its values, however deep, and each at its top, made hostile."""
    for key in [*config, "k", "l0", "layer"]:
        for value in HOSTILE:
            yield config | {key: value}
        if isinstance(config.get(key), dict):
            for inner in changes(config[key]) if key not in ("k", "l0") else ():
                yield config | {key: inner}


def tried(path, beside):
    """Every change is read or refused; some are refused and some are read."""
    config = json.loads(beside.read_text())
    hook = next(hook for hook in HOOKS if outcome(path, hook) is None)
    said = []
    for change in changes(config):
        beside.write_text(json.dumps(change))
        said.append(outcome(path, hook))
    assert None in said
    assert len(set(said)) > 10
    beside.write_text("[" * 100_000)
    assert "is no" in outcome(path, hook)


@pytest.mark.parametrize("kind", KINDS)
def test_a_peers_configuration_may_say_anything(tmp_path, kind):
    folder = tmp_path / Path(kind).parent.name
    shutil.copytree((PEERS / kind).parent, folder)
    path = folder / Path(kind).name
    tried(path, folder / ("config.json" if path.suffix == ".pt" else "cfg.json"))


@pytest.mark.parametrize("which", range(4))
def test_other_configurations_may_say_anything(tmp_path, which):
    tried(*list(others(tmp_path).items())[which])


@pytest.mark.parametrize("kind", KINDS)
def test_each_array_may_be_missing_or_of_another_kind(tmp_path, kind):
    folder = tmp_path / Path(kind).parent.name
    shutil.copytree((PEERS / kind).parent, folder)
    path = folder / Path(kind).name
    is_pt = path.suffix == ".pt"
    state = torch.load(path, weights_only=True) if is_pt else load_file(path)
    hook = next(hook for hook in HOOKS if outcome(path, hook) is None)
    optional = {"k", "threshold"} if "TopK" in kind else set()

    def refused(key, value):
        other = {name: one for name, one in state.items() if name != key}
        other |= {} if value is None else {key: value}
        torch.save(other, path) if is_pt else save_file(other, path)
        return outcome(path, hook)

    for key, value in state.items():
        if key in optional:
            continue
        assert "it has no" in refused(key, None)
        assert "not floats" in refused(key, value.int())
        assert "has shape" in refused(key, torch.zeros(3, 2))
        if value.ndim:  # of a number a list of one is as good
            assert "has shape" in refused(key, value[..., None])
        if value.ndim == 2:
            odd = value.clone()
            odd[1, 2] = math.nan
            assert "holds NaN or infinity" in refused(key, odd)
            if value.shape[0] != value.shape[1]:
                assert "has shape" in refused(key, value.T.contiguous())


def test_the_command_line_exits_with_3(tmp_path):
    shutil.copytree(PEERS / "sae_lens" / "topk", tmp_path / "topk")
    config = json.loads((tmp_path / "topk" / "cfg.json").read_text())
    (tmp_path / "topk" / "cfg.json").write_text(json.dumps(config | {"k": -3}))
    found = invoke("validate", "organism", tmp_path / "topk" / "sae_weights.safetensors", "--layers", "5")  # fmt: skip
    assert found.exit_code == 3
    assert "its k is -3, not a whole number above 0" in found.output
    assert "Traceback" not in found.output
