"""Collections that no library writes, in their real folders, against their definitions in slow loops."""

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from harness.errors import CannotRun
from harness.sae.encoding import decode, encode, with_gain
from harness.sae.weights import check_sae, load_sae
from harness.specs.sites import HOOKS

WIDTH, FEATURES, LAYER, K = 6, 20, 5, 4
HEADS = 10  # of attention, beside each other: another width than the stream's
DRAW = np.random.default_rng(7)


def drawn(*shape):
    return DRAW.normal(size=shape).astype(np.float32)


def arrays(width=WIDTH, threshold=True):
    """Weights as Gemma Scope has them: (width, features) and (features, width)."""
    found = {
        "W_enc": drawn(width, FEATURES), "b_enc": drawn(FEATURES),
        "W_dec": drawn(FEATURES, width), "b_dec": drawn(width),
    }  # fmt: skip
    return found | ({"threshold": np.abs(drawn(FEATURES))} if threshold else {})


def slow(
    x, w, thresholds=None, top_k=None, skip=None, input_scale=1.0, output_scale=1.0, lengths=None
):
    """Feature by feature, position by position: W_enc (width, features), skip (width, width)."""
    features, made = [], []
    for row in x.tolist():
        before = [
            sum(input_scale * a * float(b) for a, b in zip(row, w["W_enc"][:, f], strict=True))
            + float(w["b_enc"][f])
            for f in range(FEATURES)
        ]
        allowed = sorted(range(FEATURES), key=lambda f: -before[f])[: top_k or FEATURES]
        values = []
        for f in range(FEATURES):
            length = 1.0 if lengths is None else lengths[f]
            least = 0.0 if thresholds is None else float(thresholds[f])
            active = f in allowed and before[f] > 0 and before[f] * length > least
            values.append(before[f] if active else 0.0)
        out = [float(b) for b in w["b_dec"]]
        for i in range(len(out)):
            out[i] += sum(values[f] * float(w["W_dec"][f, i]) for f in range(FEATURES))
            out[i] /= output_scale
            if skip is not None:
                out[i] += sum(row[j] * float(skip[j, i]) for j in range(len(row)))
        features.append(values)
        made.append(out)
    return torch.tensor(features), torch.tensor(made)


def held(sae, width=WIDTH, **definition):
    """The dictionary has the values and the reconstruction of the slow definition."""
    x = torch.from_numpy(2 * drawn(25, width))
    features, made = slow(x, **definition)
    assert 0.05 < float((features > 0).float().mean()) < 0.7
    site = torch.cat([x, torch.zeros(25, width)], -1) if sae.site == "transcoder" else x
    found = encode(sae, site)
    assert torch.allclose(found, features, atol=1e-5)
    assert torch.allclose(decode(sae, found, site), made, atol=2e-5)
    return sae


def read(path, site, hook=None, layer=LAYER, width=WIDTH):
    hook = hook or site.replace("attn_z", "attn_out")
    assert check_sae(path, width=width, layer=layer, hook=hook) == site
    sae = load_sae(path, width=width, layer=layer, hook=hook)
    assert sae.site == site
    return sae


def refused(path, said, hook="resid_post", layer=LAYER, width=WIDTH):
    for act in (check_sae, load_sae):
        with pytest.raises(CannotRun, match=said) as caught:
            act(path, width=width, layer=layer, hook=hook)
        assert len(str(caught.value).splitlines()) == 1


def npz(folder, state):
    folder.mkdir(parents=True)
    np.savez(folder / "params.npz", **state)
    return folder / "params.npz"


def tensors(path, state, **config):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: torch.from_numpy(np.ascontiguousarray(v)) for key, v in state.items()}, path)
    for name, said in config.items():
        text = said if isinstance(said, str) else json.dumps(said)
        (path.parent / name.replace("_", ".")).write_text(text)
    return path


@pytest.mark.parametrize("folder", ["google/{}", "models--google--{}/snapshots/0a1"])
@pytest.mark.parametrize(
    "name, site, width",
    [
        ("gemma-scope-2b-pt-res", "resid_post", WIDTH),
        ("gemma-scope-9b-pt-mlp", "mlp_out", WIDTH),
        ("gemma-scope-2b-pt-att", "attn_z", HEADS),
        ("gemma-scope-2b-pt-transcoders", "transcoder", WIDTH),
    ],
)
@pytest.mark.parametrize("lower", [True, False])
def test_gemma_scopes_folder_says_what_it_reads(tmp_path, folder, name, site, width, lower):
    w = arrays(width)
    state = {key.lower(): value for key, value in w.items()} if lower else w
    path = npz(tmp_path / folder.format(name) / "layer_5/width_16k/average_l0_72", state)
    sae = held(read(path, site), width, w=w, thresholds=w["threshold"])
    assert sae.l0 == 72
    assert sae.without_gain == (site == "transcoder")
    if site != "resid_post":
        hook = site.replace("attn_z", "attn_out")
        refused(path, f"not of the stream after a block; write hook: {hook}, or name another file")
    refused(path, "write hook: ", hook="resid_pre")


def test_gemma_scopes_transcoders_read_the_norm_without_its_weights(tmp_path):
    """Those of Gemma Scope 2 read it with them."""
    w, gain = arrays(), 1 + 0.3 * torch.from_numpy(drawn(WIDTH))
    sae = read(npz(tmp_path / "gemma-scope-2b-pt-transcoders/layer_5", w), "transcoder")
    normed = torch.from_numpy(drawn(25, WIDTH))
    assert torch.allclose(
        encode(with_gain(sae, gain), normed * gain), slow(normed, w, w["threshold"])[0], atol=1e-5
    )
    path = tensors(tmp_path / "transcoder/layer_5_width_16k_l0_big/params.safetensors", w)
    assert not read(path, "transcoder").without_gain


def test_a_folder_that_says_nothing_is_taken_at_its_word(tmp_path):
    path = npz(tmp_path / "test_a_transcoder_is_mlp_out" / "mine", arrays())
    for hook in ("resid_post", "resid_pre", "mlp_out", "transcoder"):
        assert check_sae(path, width=WIDTH, layer=LAYER, hook=hook) == hook
    # Gemma Scope's dictionaries of attention are all of the heads.
    assert check_sae(path, width=WIDTH + 5, layer=LAYER, hook="attn_out") == "attn_z"


HF = "model.layers.5.{}"
NORMS = {"read": "pre_feedforward_layernorm.output", "written": "post_feedforward_layernorm.output"}


@pytest.mark.parametrize("with_config", [True, False])
@pytest.mark.parametrize("ending", ["", "_all"])
@pytest.mark.parametrize(
    "folder, site, width, point",
    [
        ("resid_post", "resid_post", WIDTH, "output"),
        ("mlp_out", "mlp_out", WIDTH, NORMS["written"]),
        ("attn_out", "attn_z", HEADS, "self_attn.o_proj.input"),
    ],
)
def test_gemma_scope_2_is_read_at_every_site(
    tmp_path, folder, site, width, point, ending, with_config
):
    w = arrays(width)
    path = tmp_path / ("x" if with_config else folder + ending) / "layer_5_width_16k_l0_small"
    config = {"architecture": "jump_relu", "hf_hook_point_in": HF.format(point), "l0": 20}
    state = {key.lower(): value for key, value in w.items()}
    written = {"config_json": config} if with_config else {}
    path = tensors(path / "params.safetensors", state, **written)
    held(read(path, site), width, w=w, thresholds=w["threshold"])
    if with_config:
        refused(path, "trained on layer 5, not on layer 6", hook=site.replace("attn_z", "attn_out"), layer=6)  # fmt: skip


@pytest.mark.parametrize("with_config", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_gemma_scope_2s_transcoders_skip_from_read_to_written(tmp_path, affine, with_config):
    """Their skip connection is stored (read, written)."""
    w, skip = arrays(), drawn(WIDTH, WIDTH)
    state = {key.lower(): value for key, value in w.items()}
    state |= {"affine_skip_connection": skip} if affine else {}
    path = tmp_path / ("x" if with_config else "transcoder_all") / "layer_5_width_16k_l0_big_affine"
    config = {
        "architecture": "jump_relu", "hf_hook_point_in": HF.format(NORMS["read"]),
        "hf_hook_point_out": HF.format(NORMS["written"]), "affine_connection": affine,
    }  # fmt: skip
    written = {"config_json": config} if with_config else {}
    path = tensors(path / "params.safetensors", state, **written)
    sae = read(path, "transcoder")
    held(sae, w=w, thresholds=w["threshold"], skip=skip if affine else None)
    assert not sae.without_gain
    refused(
        path, "what it adds to the stream, not of the stream after a block; write hook: transcoder"
    )
    if affine and with_config:
        del state["affine_skip_connection"]
        refused(tensors(path, state), "it has no affine_skip_connection", hook="transcoder")


def test_a_transcoder_that_nothing_names_is_known_by_its_skip_connection(tmp_path):
    path = tensors(
        tmp_path / "params.safetensors", arrays() | {"affine_skip_connection": drawn(WIDTH, WIDTH)}
    )
    refused(path, "affine_skip_connection makes it a transcoder; write hook: transcoder")
    read(path, "transcoder")


@pytest.mark.parametrize(
    "folder, said",
    [("clt", "one feature writes to several layers"), ("crosscoder", "one feature reads several"), ("embedding", "of the embedding, before the first block")],
)  # fmt: skip
def test_what_is_of_several_layers_or_of_none_is_refused(tmp_path, folder, said):
    refused(npz(tmp_path / folder / "width_4k", arrays()), said)
    state = arrays() | {"W_dec": drawn(FEATURES, 3, WIDTH)}
    refused(tensors(tmp_path / folder / "width_262k/params_layer_0.safetensors", state), said)
    refused(tensors(tmp_path / "y" / "params.safetensors", state), "it writes to several layers at once")  # fmt: skip


QWEN = "models--Qwen--SAE-Res-Qwen3-1.7B-Base-W{}K-L0_{}/snapshots/0a1"


def qwen(folder, w, name=f"layer{LAYER}.sae.pt", **change):
    """As Qwen Scope has it: both matrices the other way round."""
    folder.mkdir(parents=True, exist_ok=True)
    state = w | {"W_enc": w["W_enc"].T, "W_dec": w["W_dec"].T} | change
    torch.save({key: torch.from_numpy(value.copy()) for key, value in state.items()}, folder / name)
    return folder / name


def test_qwen_scopes_k_is_in_its_repositorys_name(tmp_path, monkeypatch):
    w = arrays(threshold=False)
    path = qwen(tmp_path / QWEN.format(32, K), w)
    refused(path, "its configuration says d_sae 32768, the weights say 20")
    path = qwen(tmp_path / "SAE-Res-mine-L0_9", w)
    refused(path, "neither the names of its folders nor a config.json beside it say its k")
    (path.parent / "config.json").write_text(json.dumps({"k": K}))
    sae = held(read(path, "resid_post"), w=w, top_k=K)
    assert (sae.top_k, sae.l0) == (K, K)
    refused(path, "trained on layer 5, not on layer 4", layer=4)
    refused(path, "write hook: resid_post", hook="mlp_out")


def test_qwen_scopes_features_are_as_many_as_its_repository_says(tmp_path):
    w = {
        "W_enc": drawn(WIDTH, 1024), "b_enc": drawn(1024), "W_dec": drawn(1024, WIDTH),
        "b_dec": drawn(WIDTH),
    }  # fmt: skip
    sae = read(qwen(tmp_path / QWEN.format(1, 50), w), "resid_post")
    assert (sae.top_k, sae.features) == (50, 1024)


@pytest.mark.parametrize(
    "k, said",
    [(0, "0"), (-1, "-1"), (True, "True"), (21, "its k is 21, and it has 20 features"), ("4", "'4'"), (math.nan, "nan"), (4.5, "4.5")],
)  # fmt: skip
def test_a_k_that_is_none_is_refused(tmp_path, k, said):
    path = qwen(tmp_path / "x", arrays(threshold=False))
    (path.parent / "config.json").write_text(json.dumps({"k": k}))
    refused(path, said if "k is" in said else f"its k is {said}, not a whole number above 0")


YAML = "model_name: Qwen/Qwen3-4B\nmodel_kind: transcoder_set\nfeature_input_hook: {}\nfeature_output_hook: {}\n"


def qwen_transcoder(folder, w, config, name=f"layer_{LAYER}.safetensors", **more):
    """Both matrices (features, width)."""
    written = {} if config is None else {"config_yaml": config}
    return tensors(folder / name, w | {"W_enc": w["W_enc"].T} | more, **written)


@pytest.mark.parametrize("config", [YAML.format("mlp.hook_in", "hook_mlp_out"), None])
@pytest.mark.parametrize("skips", [True, False])
def test_transcoders_of_circuit_tracer_are_relu(tmp_path, config, skips):
    w, skip = arrays(threshold=False), drawn(WIDTH, WIDTH)
    more = {"W_skip": skip.T} if skips else {}
    path = qwen_transcoder(tmp_path / "qwen3-4b-transcoders", w, config, **more)
    sae = held(read(path, "transcoder"), w=w, skip=skip if skips else None)
    assert (sae.relu, sae.without_gain, sae.top_k) == (True, False, None)
    refused(path, "trained on layer 5, not on layer 4", hook="transcoder", layer=4)


@pytest.mark.parametrize(
    "config, said",
    [
        (YAML.format("mlp.hook_in", "hook_resid_post"), "and writes blocks.5.hook_resid_post, which no"),
        (YAML.format("hook_mlp_in", "hook_mlp_out"), "the stream before the MLP's norm"),
        (YAML.format("[", "x"), "config.yaml beside it is no YAML mapping"),
        ("- 1", "config.yaml beside it is no YAML mapping"),
        ("&a [*a, *a]", "config.yaml beside it is no YAML mapping"),
        ("model_kind: cross_layer_transcoder", "cross_layer_transcoder, not transcoder_set"),
        ("feature_input_hook: [1]", "which no dictionary is read at here"),
    ],
)  # fmt: skip
def test_what_circuit_tracer_says_otherwise_is_refused(tmp_path, config, said):
    path = qwen_transcoder(tmp_path, arrays(threshold=False), config)
    refused(path, said, hook="transcoder")


SCOPE = {
    "d_model": WIDTH, "d_sae": FEATURES, "act_fn": "jumprelu", "jump_relu_threshold": 0.6, "top_k": 50,
    "norm_activation": "dataset-wise", "dataset_average_activation_norm": {"in": 3.5, "out": 1.25},
    "sparsity_include_decoder_norm": True,
}  # fmt: skip


@pytest.mark.parametrize(
    "letter, site, read_at, written_at",
    [
        ("A", "attn_out", "hook_attn_out", "hook_attn_out"),
        ("M", "mlp_out", "hook_mlp_out", "hook_mlp_out"),
        ("R", "resid_post", "hook_resid_post", "hook_resid_post"),
        ("TC", "transcoder", "ln2.hook_normalized", "hook_mlp_out"),
        ("TC", "transcoder", "mlp.hook_in", "hook_mlp_out"),
    ],
)
@pytest.mark.parametrize("act", ["jumprelu", "topk"])
def test_llama_scope_is_read_at_every_site(tmp_path, letter, site, read_at, written_at, act):
    w = arrays(threshold=False)
    config = SCOPE | {"hook_point_in": f"blocks.5.{read_at}", "hook_point_out": f"blocks.5.{written_at}"}  # fmt: skip
    by_length = act == "jumprelu"
    config |= {} if by_length else {"act_fn": act, "top_k": K, "sparsity_include_decoder_norm": False}  # fmt: skip
    folder = tmp_path / f"Llama3_1-8B-Base-L5{letter}-8x"
    state = {
        "encoder.weight": w["W_enc"].T, "encoder.bias": w["b_enc"],
        "decoder.weight": w["W_dec"].T, "decoder.bias": w["b_dec"],
    }  # fmt: skip
    path = tensors(folder / "checkpoints" / "final.safetensors", state)
    (folder / "hyperparams.json").write_text(json.dumps(config))
    into, out = (math.sqrt(WIDTH) / norm for norm in (3.5, 1.25))
    lengths = np.linalg.norm(w["W_dec"], axis=1).tolist() if by_length else None
    thresholds = [0.6] * FEATURES if by_length else None
    sae = held(
        read(path, site), w=w, thresholds=thresholds, lengths=lengths, input_scale=into,
        output_scale=out, top_k=None if by_length else K,
    )  # fmt: skip
    assert sae.without_gain == (read_at == "ln2.hook_normalized")
    assert (sae.top_k, sae.l0) == ((None, 50) if by_length else (K, K))


@pytest.mark.parametrize("module", ["mlp.down_proj", "input_layernorm", "self_attn.q_proj"])
def test_a_module_that_is_read_nowhere_is_refused_at_every_hook(tmp_path, module):
    folder = tmp_path / f"layers.3.{module}"
    folder.mkdir()
    save_file(
        {"encoder.weight": torch.zeros(FEATURES, WIDTH), "encoder.bias": torch.zeros(FEATURES),
         "W_dec": torch.zeros(FEATURES, WIDTH), "b_dec": torch.zeros(WIDTH)},
        folder / "sae.safetensors",
    )  # fmt: skip
    (folder / "cfg.json").write_text(json.dumps({"d_in": WIDTH, "num_latents": FEATURES, "k": K}))
    for hook in HOOKS:
        with pytest.raises(CannotRun, match=f"it reads layers.3.{module}, which no dictionary"):
            check_sae(folder / "sae.safetensors", width=WIDTH, layer=3, hook=hook)
