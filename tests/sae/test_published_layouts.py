"""Dictionaries of other libraries, held against their encoders written out from their definitions."""

import json
import math
import os
import pickle
import re
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from harness.errors import CannotRun
from harness.sae.encoding import decode, encode
from harness.sae.weights import check_sae, load_sae

WIDTH, FEATURES = 8, 16
DRAW = torch.Generator().manual_seed(5)
X = 3 * torch.randn(200, WIDTH, generator=DRAW, dtype=torch.double)
OF_VALUES = re.compile("NaN|negative values")


def drawn(*shape, scale=1.0):
    return scale * torch.randn(*shape, generator=DRAW)


def linear(d=WIDTH, f=FEATURES):
    return {
        "encoder.weight": drawn(f, d), "encoder.bias": drawn(f), "decoder.weight": drawn(d, f),
    }  # fmt: skip


def own(d=WIDTH, f=FEATURES):
    return {"W_enc": drawn(d, f), "b_enc": drawn(f), "W_dec": drawn(f, d), "b_dec": drawn(d)}


def double(state):
    return {key: value.double() for key, value in state.items()}


def of_trainer(kind, **more):
    trainer = {"dict_class": kind, "layer": 5, "activation_dim": WIDTH, "dict_size": FEATURES}
    return {"trainer": trainer | more, "buffer": {"ctx_len": 128, "io": "out"}}


def ae(folder, state, config):
    torch.save(state, folder / "ae.pt")
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder / "ae.pt"


def standard(s):
    pre = (X - s["bias"]) @ s["encoder.weight"].T + s["encoder.bias"]
    values = torch.relu(pre)
    return values, values @ s["decoder.weight"].T + s["bias"]


def without_subtraction(s):
    values = torch.relu(X @ s["encoder.weight"].T + s["encoder.bias"])
    return values, values @ s["decoder.weight"].T + s["decoder.bias"]


def jump_relu(s):
    pre = X @ s["W_enc"] + s["b_enc"]
    values = torch.relu(pre * (pre > s["threshold"]))
    return values, values @ s["W_dec"] + s["b_dec"]


def gated(s):
    inner = (X - s["decoder_bias"]) @ s["encoder.weight"].T
    gate = (inner + s["gate_bias"] > 0).double()
    values = gate * torch.relu(s["r_mag"].exp() * inner + s["mag_bias"])
    return values, values @ s["decoder.weight"].T + s["decoder_bias"]


def batch_top_k(s):
    post = torch.relu((X - s["b_dec"]) @ s["encoder.weight"].T + s["encoder.bias"])
    values = post * (post > s["threshold"])
    return values, values @ s["decoder.weight"].T + s["b_dec"]


def matryoshka(s):
    post = torch.relu((X - s["b_dec"]) @ s["W_enc"] + s["b_enc"])
    values = post * (post > s["threshold"])
    return values, values @ s["W_dec"] + s["b_dec"]


GATES = {"gate_bias": drawn(FEATURES), "mag_bias": drawn(FEATURES), "r_mag": drawn(FEATURES)}
ONE = {"k": torch.tensor(4, dtype=torch.int), "threshold": torch.tensor(1.5)}
STATES = {
    "AutoEncoder": (linear() | {"bias": drawn(WIDTH)}, standard),
    "AutoEncoderNew": (linear() | {"decoder.bias": drawn(WIDTH)}, without_subtraction),
    # Half of the thresholds are below 0, where ReLU is what is left.
    "JumpReluAutoEncoder": (own() | {"threshold": drawn(FEATURES)}, jump_relu),
    "GatedAutoEncoder": (
        {key: value for key, value in linear().items() if key != "encoder.bias"}
        | GATES
        | {"decoder_bias": drawn(WIDTH)},
        gated,
    ),
    "BatchTopKSAE": (linear() | {"b_dec": drawn(WIDTH)} | ONE, batch_top_k),
    "MatryoshkaBatchTopKSAE": (own() | ONE | {"group_sizes": torch.tensor([4, 12])}, matryoshka),
}


def held(path, values, reconstruction, layer=5):
    """The file's SAE has these values and this reconstruction, and is active somewhere and not everywhere."""
    check_sae(path, width=WIDTH, layer=layer)
    sae = load_sae(path, width=WIDTH, layer=layer)
    assert 0.02 < float((values > 0).double().mean()) < 0.9
    found = encode(sae, X)
    assert torch.equal(found > 0, values > 0)
    assert torch.allclose(found.double(), values, rtol=1e-5, atol=1e-5)
    assert torch.allclose(decode(sae, found).double(), reconstruction, rtol=1e-5, atol=1e-4)
    return sae


def refused(path, said, layer=5):
    """By its headers and its configuration, unless it is of values."""
    with pytest.raises(CannotRun, match=said) as caught:
        load_sae(path, width=WIDTH, layer=layer)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    if not OF_VALUES.search(str(caught.value)):
        with pytest.raises(CannotRun) as early:
            check_sae(path, width=WIDTH, layer=layer)
        assert str(early.value) == str(caught.value)


@pytest.mark.parametrize("kind", STATES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dictionary_learnings_saes_are_read_as_it_reads_them(tmp_path, kind, dtype):
    state, oracle = STATES[kind]
    state = {key: value.to(dtype) if value.is_floating_point() else value for key, value in state.items()}  # fmt: skip
    sae = held(ae(tmp_path, state, of_trainer(kind, k=4)), *oracle(double(state)))
    assert sae.relu == kind.startswith("AutoEncoder")
    assert sae.l0 == (None if sae.relu else 4)


def test_a_gate_that_is_wider_than_its_magnitude_leaves_relu(tmp_path):
    """Each of the two conditions decides for some features."""
    state, oracle = STATES["GatedAutoEncoder"]
    wide = state["mag_bias"] - state["r_mag"].exp() * state["gate_bias"] < 0
    assert 0 < int(wide.sum()) < FEATURES
    sae = held(ae(tmp_path, state, of_trainer("GatedAutoEncoder")), *oracle(double(state)))
    assert torch.equal(sae.threshold == 0, wide)


def test_what_was_read_does_not_change_with_the_file(tmp_path):
    state, _ = STATES["JumpReluAutoEncoder"]
    path = ae(tmp_path, state, of_trainer("JumpReluAutoEncoder"))
    sae = load_sae(path, width=WIDTH)
    path.write_bytes(bytes(path.stat().st_size))
    assert torch.equal(sae.w_enc, state["W_enc"])


def of_batch(**change):
    state = STATES["BatchTopKSAE"][0] | change
    return {key: value for key, value in state.items() if value is not None}


@pytest.mark.parametrize(
    "change, more, said",
    [
        ({"threshold": torch.tensor(-1.0)}, {}, "threshold is -1, as where it was never set"),
        ({"threshold": torch.tensor(math.nan)}, {}, "threshold is nan, as where"),
        ({"threshold": torch.ones(3)}, {}, r"threshold has shape \(3,\), and should be one number"),
        ({"threshold": None}, {}, "it has no threshold; it has b_dec, decoder.weight, encoder.bias, encoder.weight"),
        ({"encoder.weight": drawn(WIDTH, FEATURES)}, {}, r"encoder.weight has shape \(8, 16\), not \(16, 8\).*decoder"),
        ({"encoder.bias": torch.zeros(FEATURES, dtype=torch.int)}, {}, "encoder.bias holds int32, not floats"),
        ({"encoder.bias": torch.full((FEATURES,), math.inf)}, {}, "encoder.bias holds NaN or infinity"),
        ({"W_skip": drawn(WIDTH, WIDTH)}, {}, "W_skip makes it a transcoder"),
        ({"more": drawn(2)}, {}, "more is not understood"),
        ({"more": [1, 2]}, {}, "more is a list, not a tensor"),
        ({"b_dec": torch.zeros(1).expand(WIDTH)}, {}, "b_dec has more numbers than the file"),
        ({"b_dec": drawn(WIDTH).to_sparse()}, {}, "b_dec is no plain tensor"),
        ({}, {"dict_size": 99}, "says d_sae 99, the weights say 16"),
        ({}, {"layer": 6}, "trained on layer 6, not on layer 5"),
        ({}, {"submodule_name": "mlp_out_layer_5"}, "of what the MLP adds .*; write hook: mlp_out"),
        ({}, {"submodule_name": "model.layers.5.self_attn"}, "write hook: attn_out"),
        ({}, {"submodule_name": "resid_pre_layer_5"}, "trained on layer 4, not on layer 5"),
        ({}, {"dict_class": "AutoEncoderTopK", "k": 5}, "configuration says k 5, the file says 4"),
        ({}, {"dict_class": "AutoEncoderTopK", "k": True}, "its k is True, not a whole number above 0"),
        ({"k": torch.tensor(-1)}, {"dict_class": "AutoEncoderTopK"}, "its k is -1, not a whole number"),
        ({"k": torch.tensor(math.nan)}, {"dict_class": "AutoEncoderTopK"}, "its k is nan, not a whole"),
        ({"k": torch.tensor(17)}, {"dict_class": "AutoEncoderTopK"}, "its k is 17, and it has 16 features"),
        ({"k": torch.ones(2)}, {"dict_class": "AutoEncoderTopK"}, r"k has shape \(2,\), and should be one"),
        ({"k": None}, {"dict_class": "AutoEncoderTopK"}, "neither its configuration nor the file says its k"),
        ({}, {"dict_class": "CrossCoder"}, "it is a CrossCoder; name one of AutoEncoder, AutoEncoderNew"),
        ({}, {"dict_class": None}, "names no dict_class"),
    ],
)  # fmt: skip
def test_what_is_no_such_dictionary_is_one_sentence(tmp_path, change, more, said):
    refused(ae(tmp_path, of_batch(**change), of_trainer("BatchTopKSAE", **more)), said)


def test_the_stream_after_a_block_may_be_named_by_its_module(tmp_path):
    state, oracle = STATES["BatchTopKSAE"]
    for name in ("resid_post_layer_5", "model.layers.5"):
        config = of_trainer("BatchTopKSAE", submodule_name=name)
        held(ae(tmp_path, state, config), *oracle(double(state)))
    config["buffer"]["io"] = "in"
    refused(ae(tmp_path, state, config), r"reads what goes into a module \(io in\)")


def test_a_pt_file_needs_its_configuration(tmp_path):
    refused(ae(tmp_path, of_batch(), None), "there is no config.json beside it")
    (tmp_path / "config.json").write_text("[1]")
    refused(tmp_path / "ae.pt", "config.json beside it is no JSON object")


class Bomb:
    """What makes a folder where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("forced", [False, True])
@pytest.mark.parametrize("inside", [False, True])
def test_a_pickle_with_code_is_refused_and_runs_nothing(tmp_path, monkeypatch, inside, forced):
    """Also where the environment asks torch to run it."""
    if forced:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    made = tmp_path / "made"
    state = of_batch() | {"more": Bomb(str(made))} if inside else Bomb(str(made))
    path = ae(tmp_path, state, of_trainer("BatchTopKSAE"))
    refused(path, r"it names posix.mkdir, and no code of it is run; save its state_dict\(\) alone")
    assert not made.exists()
    torch.load(path, weights_only=False)
    assert made.exists()


def test_a_bare_pickle_is_not_opened(tmp_path):
    path = ae(tmp_path, {}, of_trainer("BatchTopKSAE"))
    path.write_bytes(pickle.dumps(Bomb(str(tmp_path / "made"))))
    refused(path, "it is no file of torch.save, or cut short")
    torch.save(of_batch(), path, _use_new_zipfile_serialization=False)
    refused(path, "it is no file of torch.save")
    assert not (tmp_path / "made").exists()


def test_a_whole_module_and_a_list_are_no_state_dictionary(tmp_path):
    refused(ae(tmp_path, torch.nn.Linear(2, 2), of_trainer("BatchTopKSAE")), "it names torch.nn")
    refused(ae(tmp_path, [drawn(2)], of_trainer("BatchTopKSAE")), "it holds a list, not tensors")


def test_packed_and_huge_parts_are_refused_before_they_are_unpacked(tmp_path):
    path = ae(tmp_path, of_batch(), of_trainer("BatchTopKSAE"))
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    for kind, more, said in (
        (zipfile.ZIP_DEFLATED, b"", "it is packed"),
        (zipfile.ZIP_STORED, bytes(1 << 20), "too large for weights"),
    ):
        with zipfile.ZipFile(path, "w", kind) as new:
            for name, data in parts.items():
                new.writestr(name, data + (more if name.endswith("data.pkl") else b""))
        refused(path, said)


@pytest.mark.parametrize("left", [0, 10, -300, -1])
def test_a_cut_pt_file_is_refused(tmp_path, left):
    path = ae(tmp_path, of_batch(), of_trainer("BatchTopKSAE"))
    path.write_bytes(path.read_bytes()[:left])
    refused(path, "cut short|cannot be read")


OLD = {"d_in": WIDTH, "d_sae": FEATURES, "hook_name": "blocks.5.hook_resid_post"}
NEW = {"d_in": WIDTH, "d_sae": FEATURES, "metadata": {"hook_name": "blocks.5.hook_resid_post"}}


@pytest.mark.parametrize("config", [OLD, NEW], ids=["old", "new"])
@pytest.mark.parametrize("subtracts", [True, False])
def test_saelens_gated_saes_are_read_as_saelens_reads_them(tmp_path, config, subtracts):
    state = own() | {"b_gate": drawn(FEATURES), "b_mag": drawn(FEATURES), "r_mag": drawn(FEATURES)}
    state.pop("b_enc")
    s = double(state)
    inner = X - s["b_dec"] * subtracts
    gate = inner @ s["W_enc"] + s["b_gate"] > 0
    values = gate * torch.relu(inner @ (s["W_enc"] * s["r_mag"].exp()) + s["b_mag"])
    path = tmp_path / "sae_weights.safetensors"
    save_file(state, path)
    config = config | {"architecture": "gated", "apply_b_dec_to_input": subtracts}
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    held(path, values, values @ s["W_dec"] + s["b_dec"])
    save_file({key: value for key, value in state.items() if key != "r_mag"}, path)
    refused(path, "it has no r_mag")


SCOPE = {
    "d_model": WIDTH, "d_sae": FEATURES, "act_fn": "jumprelu", "jump_relu_threshold": 0.6, "top_k": 50,
    "hook_point_in": "blocks.5.hook_resid_post", "hook_point_out": "blocks.5.hook_resid_post",
    "norm_activation": "dataset-wise", "dataset_average_activation_norm": {"in": 7.5, "out": 5.25},
    "apply_decoder_bias_to_pre_encoder": False, "sparsity_include_decoder_norm": True,
}  # fmt: skip
WEIGHTS = linear() | {"decoder.bias": drawn(WIDTH)}
LOG = drawn(FEATURES, scale=0.5)


def llama_scope(folder, config=SCOPE, state=WEIGHTS):
    (folder / "checkpoints").mkdir(exist_ok=True)
    save_file(state, folder / "checkpoints" / "final.safetensors")
    (folder / "hyperparams.json").write_text(json.dumps(config))
    return folder / "checkpoints" / "final.safetensors"


def r1_distill(folder, config, state):
    save_file(state, folder / "sae_weights.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return folder / "sae_weights.safetensors"


def openmoss(state, threshold, norms, by_length=True):
    """Normalise, encode, compare, decode, and undo the output's normalisation."""
    s = double(state)
    into, out = (math.sqrt(WIDTH) / norm for norm in norms)
    pre = (X * into) @ s["encoder.weight"].T + s["encoder.bias"]
    length = s["decoder.weight"].norm(dim=0) if by_length else 1.0
    values = pre * (pre * length > threshold)
    return values, (values @ s["decoder.weight"].T + s["decoder.bias"]) / out


@pytest.mark.parametrize("by_length", [True, False])
def test_llama_scopes_norms_are_folded_and_its_threshold_stays(tmp_path, by_length):
    config = SCOPE | {"sparsity_include_decoder_norm": by_length}
    wanted = openmoss(WEIGHTS, 0.6, (7.5, 5.25), by_length)
    sae = held(llama_scope(tmp_path, config), *wanted)
    assert sae.l0 == 50
    if not by_length:
        assert (sae.threshold == torch.tensor(0.6)).all()


def test_a_feature_without_a_direction_is_active_nowhere(tmp_path):
    state = WEIGHTS | {"decoder.weight": WEIGHTS["decoder.weight"] * (torch.arange(FEATURES) != 3)}
    sae = held(llama_scope(tmp_path, state=state), *openmoss(state, 0.6, (7.5, 5.25)))
    assert not encode(sae, X)[:, 3].any()
    assert torch.isfinite(sae.threshold).all()


@pytest.mark.parametrize("in_file", [True, False])
def test_r1_distills_thresholds_are_logarithms(tmp_path, in_file):
    config = {
        key: value for key, value in SCOPE.items() if key not in ("d_sae", "jump_relu_threshold")
    }
    config["expansion_factor"] = FEATURES // WIDTH
    state = WEIGHTS | {"log_jumprelu_threshold": LOG}
    if in_file:
        del config["dataset_average_activation_norm"]
        norm = "dataset_average_activation_norm"
        state |= {f"{norm}.in": torch.tensor(7.5), f"{norm}.out": torch.tensor([5.25])}
    sae = held(
        r1_distill(tmp_path, config, state), *openmoss(state, LOG.double().exp(), (7.5, 5.25))
    )
    assert sae.l0 is None  # its top_k is of no use to it


def test_a_norm_that_is_folded_already_is_not_folded_again(tmp_path):
    config = SCOPE | {"norm_activation": "inference"}
    root = math.sqrt(WIDTH)
    held(llama_scope(tmp_path, config), *openmoss(WEIGHTS, 0.6, (root, root)))


@pytest.mark.parametrize(
    "change, said",
    [
        ({"act_fn": "topk"}, "its act_fn is topk of values times the lengths of decoder rows"),
        ({"norm_activation": "token-wise"}, "its norm_activation is token-wise.*by its own norm"),
        ({"use_glu_encoder": True}, "its use_glu_encoder is True"),
        ({"apply_decoder_bias_to_pre_encoder": True}, "its apply_decoder_bias_to_pre_encoder is True"),
        ({"hook_point_in": "blocks.5.hook_mlp_out"}, "reads blocks.5.hook_mlp_out and writes blocks.5.hook_resid_post"),
        ({"hook_point_out": "blocks.6.hook_resid_post"}, "and writes blocks.6.hook_resid_post, which no dictionary"),
        ({"hook_point_in": "blocks.4.hook_resid_post", "hook_point_out": "blocks.4.hook_resid_post"}, "trained on layer 4"),
        ({"dataset_average_activation_norm": {"in": 0}}, "not numbers above 0"),
        ({"dataset_average_activation_norm": "7"}, "not numbers above 0"),
        ({"dataset_average_activation_norm": None}, "it has no dataset_average_activation_norm.in"),
        ({"jump_relu_threshold": -1}, "its jump_relu_threshold is -1, not a number"),
        ({"jump_relu_threshold": None}, "it has no log_jumprelu_threshold"),
        ({"d_sae": 99}, "says d_sae 99, the weights say 16"),
        ({"d_model": None}, "describes no SAE of Llama Scope"),
    ],
)  # fmt: skip
def test_what_openmoss_has_and_is_not_read_is_one_sentence(tmp_path, change, said):
    refused(llama_scope(tmp_path, SCOPE | change), said)


def test_llama_scope_needs_its_hyperparams(tmp_path):
    path = llama_scope(tmp_path)
    (tmp_path / "hyperparams.json").unlink()
    refused(path, "there is no hyperparams.json beside it")
