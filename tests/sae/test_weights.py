"""SAE files in their real layouts, and every way in which one can be broken."""

import json
import math
import re
import zipfile
import zlib
from contextlib import suppress

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from harness.errors import CannotRun
from harness.sae.encoding import decode, encode
from harness.sae.npz import SMALL
from harness.sae.weight_checks import KEYS
from harness.sae.weights import check_sae, load_sae
from harness.testing.models import random_sae

WIDTH, FEATURES = 8, 16
OF_VALUES = re.compile("NaN|negative values|Bad CRC|cut short")
SCOPE_2 = {"architecture": "jump_relu", "hf_hook_point_in": "model.layers.5.output"}


def arrays(width=WIDTH, features=FEATURES):
    sae = random_sae(0, width, features)
    fields = (sae.w_enc, sae.b_enc, sae.w_dec, sae.b_dec, sae.threshold)
    return {key: value.contiguous().numpy() for key, value in zip(KEYS, fields, strict=True)}


def changed(change):
    return {key: value for key, value in (arrays() | change).items() if value is not None}


def npz(folder, save=np.savez, **change):
    save(folder / "params.npz", **changed(change))
    return folder / "params.npz"


def scope_2(folder, config=SCOPE_2, **change):
    """Gemma Scope 2: lower-case keys, and a configuration that may be absent."""
    path = folder / "params.safetensors"
    made = changed(change).items()
    save_file({key.lower(): torch.tensor(value) for key, value in made}, path)
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return path


def sae_lens(folder, config, **change):
    path = folder / "sae_weights.safetensors"
    save_file({key: torch.tensor(value) for key, value in changed(change).items()}, path)
    (folder / "cfg.json").write_text(json.dumps(config))
    return path


def refused(path, said, layer=None, width=WIDTH):
    """In the same words whether or not the weights are read: the headers tell, unless it is of values."""
    with pytest.raises(CannotRun, match=said) as caught:
        load_sae(path, width=width, layer=layer)
    assert str(path) in str(caught.value)
    if not OF_VALUES.search(str(caught.value)):
        with pytest.raises(CannotRun) as early:
            check_sae(path, width=width, layer=layer)
        assert str(early.value) == str(caught.value)


@pytest.mark.parametrize("write", [npz, scope_2])
def test_a_file_is_read_back_as_it_was_written(tmp_path, write):
    sae = load_sae(write(tmp_path), width=WIDTH, layer=5)
    for key, tensor in zip(
        KEYS, (sae.w_enc, sae.b_enc, sae.w_dec, sae.b_dec, sae.threshold), strict=True
    ):
        assert np.array_equal(tensor.numpy(), arrays()[key])


@pytest.mark.parametrize("kind", [np.float16, np.float64, ">f4"])
def test_other_floats_are_read_as_float32(tmp_path, kind):
    sae = load_sae(npz(tmp_path, W_enc=arrays()["W_enc"].astype(kind)), width=WIDTH)
    assert sae.w_enc.dtype == torch.float32
    assert np.allclose(sae.w_enc.numpy(), arrays()["W_enc"], atol=1e-2)


def test_packed_and_column_major_arrays_are_read_too(tmp_path):
    path = npz(tmp_path, np.savez_compressed, W_dec=np.asfortranarray(arrays()["W_dec"]))
    assert np.array_equal(load_sae(path, width=WIDTH).w_dec.numpy(), arrays()["W_dec"])


@pytest.mark.parametrize("write", [npz, scope_2])
@pytest.mark.parametrize(
    "change, said",
    [
        ({"W_enc": None}, "it has no W_enc"),
        ({"b_enc": np.zeros(3, np.float32)}, r"b_enc has shape \(3,\), not \(16,\)"),
        ({"threshold": np.full(16, np.nan, np.float32)}, "threshold holds NaN"),
        ({"W_dec": np.full((16, 8), -np.inf, np.float32)}, "W_dec holds NaN or infinity"),
        ({"b_dec": np.zeros(8, np.int32)}, "b_dec holds int32, not floats"),
        ({"W_enc": arrays()["W_dec"], "W_dec": arrays()["W_enc"]}, "W_enc .* it looks like W_dec"),
        ({"b_enc": arrays()["b_dec"], "b_dec": arrays()["b_enc"]}, "b_enc .* it looks like b_dec"),
        (
            {"b_enc": arrays()["threshold"], "threshold": arrays()["b_enc"]},
            "threshold holds negative values; are threshold and b_enc swapped",
        ),
        ({"W_enc": np.zeros((8, 0), np.float32)}, "W_enc has shape"),
        ({"W_enc": np.zeros((2, 8, 16), np.float32)}, "not two dimensions"),
    ],
)
def test_a_broken_file_is_named_with_its_key(tmp_path, write, change, said):
    refused(write(tmp_path, **change), said)


@pytest.mark.parametrize("write", [npz, scope_2])
def test_another_models_width_is_refused(tmp_path, write):
    refused(write(tmp_path), r"W_enc has shape .* for a model of width 9", width=9)


@pytest.mark.parametrize("write", [npz, scope_2])
def test_headers_tell_without_the_weights_and_without_a_width(tmp_path, write):
    check_sae(write(tmp_path), width=None, layer=5)
    with pytest.raises(CannotRun, match=r"threshold has shape \(8,\), not \(16,\)"):
        check_sae(write(tmp_path, threshold=arrays()["b_dec"]), width=None)


def test_no_weight_is_read_for_its_headers(tmp_path):
    """A flipped bit within the data is for whoever reads them."""
    weights = arrays(features=1 << 12)
    path = npz(tmp_path, **weights)
    data = bytearray(path.read_bytes())
    data[bytes(data).index(weights["W_dec"].tobytes()) + 100_000] ^= 1
    path.write_bytes(bytes(data))
    check_sae(path, width=WIDTH)
    refused(path, "W_dec cannot be read: Bad CRC-32")


@pytest.mark.parametrize("write", [npz, scope_2])
@pytest.mark.parametrize("left", [0, 10, -300, -1])
def test_a_cut_file_is_refused(tmp_path, write, left):
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[:left])
    refused(path, "cut short|cannot be read")


def test_pickled_objects_are_never_read(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("it was unpickled",))

    refused(npz(tmp_path, b_dec=np.array([Trap()] * 8)), "b_dec holds Python objects")


@pytest.mark.parametrize("said", [1 << 40, 100])
def test_a_zip_bomb_is_refused_before_it_unpacks(tmp_path, said):
    """A member that packs a thousand times better than weights do, or whose header lies."""
    path = npz(tmp_path)
    rows = SMALL * 4 // (4 * WIDTH)
    header = np.lib.format.magic(1, 0)
    shape = (WIDTH, rows) if said == 1 << 40 else (WIDTH, said)
    text = repr({"descr": "<f4", "fortran_order": False, "shape": shape}).ljust(117) + "\n"
    header += len(text).to_bytes(2, "little") + text.encode()
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    members["W_enc.npy"] = header + bytes(4 * WIDTH * rows)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, data in members.items():
            new.writestr(name, data)
    assert path.stat().st_size < SMALL // 16
    refused(path, "W_enc (unpacks|has .* bytes of data)")


def test_what_is_no_zip_and_no_known_layout_is_refused(tmp_path):
    (tmp_path / "params.npz").write_bytes(zlib.compress(b"weights"))
    refused(tmp_path / "params.npz", "no npz file")
    (tmp_path / "params.bin").write_bytes(b"weights")
    refused(tmp_path / "params.bin", "in no known layout; use params.npz, params.safetensors")
    refused(tmp_path / "none" / "params.npz", "cannot be read: No such file")


@pytest.mark.parametrize(
    "config, said",
    [
        ({"architecture": "topk"}, "its architecture is topk"),
        (
            {"hf_hook_point_in": "model.layers.5.self_attn.o_proj.input"},
            "it is of what attention puts out, not of the stream after a block; write hook: attn_out",
        ),
        ({"hf_hook_point_in": "model.layers.7.output"}, "trained on layer 7, not on layer 5"),
        (
            SCOPE_2 | {"hf_hook_point_out": "model.layers.5.mlp"},
            "reads model.layers.5.output and writes model.layers.5.mlp, which no dictionary",
        ),
    ],
)
def test_gemma_scope_2s_configuration_is_heeded(tmp_path, config, said):
    refused(scope_2(tmp_path, config), said, layer=5)


def test_gemma_scope_2s_configuration_may_be_absent_but_not_broken(tmp_path):
    path = scope_2(tmp_path, config=None)
    assert load_sae(path, width=WIDTH, layer=5).features == FEATURES
    (tmp_path / "config.json").write_text("{")
    refused(path, "config.json beside it is no JSON")


def test_a_transcoder_is_refused(tmp_path):
    extra = {"affine_skip_connection": np.zeros((8, 8), np.float32)}
    refused(scope_2(tmp_path, **extra), "affine_skip_connection makes it a transcoder")


LENS = {"d_in": WIDTH, "d_sae": FEATURES, "metadata": {"hook_name": "blocks.5.hook_resid_post"}}


@pytest.mark.parametrize("subtracts", [True, False, None])
@pytest.mark.parametrize("architecture", ["jumprelu", "standard"])
def test_saelens_saes_are_read_as_saelens_reads_them(tmp_path, architecture, subtracts):
    """Its standard SAE is ReLU((x - b_dec) @ W_enc + b_enc); both subtract unless they say no."""
    config = LENS | {"architecture": architecture}
    if subtracts is not None:
        config["apply_b_dec_to_input"] = subtracts
    change = {} if architecture == "jumprelu" else {"threshold": None}
    sae = load_sae(sae_lens(tmp_path, config, **change), width=WIDTH, layer=5)
    a = {key: torch.tensor(value).double() for key, value in arrays().items()}
    x = 3 * torch.randn(40, WIDTH, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    before = (x - a["b_dec"] * (subtracts is not False)) @ a["W_enc"] + a["b_enc"]
    gate = a["threshold"] if architecture == "jumprelu" else 0
    wanted = before * (before > gate)
    assert torch.allclose(encode(sae, x).double(), wanted, atol=1e-5)
    assert torch.allclose(
        decode(sae, encode(sae, x)).double(), wanted @ a["W_dec"] + a["b_dec"], atol=1e-4
    )


@pytest.mark.parametrize(
    "change, said",
    [
        ({"architecture": "temporal"}, "is temporal; its values depend on the tokens before"),
        ({"architecture": "matching_pursuit"}, "; its features are chosen one after the other"),
        ({"architecture": "abstopk"}, "its architecture is abstopk; its features may be negative"),
        ({"architecture": "crosscoder"}, "is crosscoder; it reads several layers"),
        ({"architecture": "clt"}, "its architecture is clt; it writes to several layers"),
        ({"architecture": ["topk"]}, "its architecture is .*; name a JumpReLU"),
        ({"architecture": "topk"}, "its architecture is topk, and cfg.json has no k"),
        *(
            ({"architecture": "topk", "k": k}, f"its k is {said}, not a whole number above 0")
            for k, said in (
                *((0, 0), (-3, -3), (True, True), (2.0, 2.0), (math.nan, "nan"), (1e400, "inf")),
                *(("6", "'6'"), ([6], r"\[6\]"), (10**300, r"1000+\.\.\.")),
            )
        ),
        ({"architecture": "standard", "activation_fn": "topk"}, "topk, and cfg.json has no k"),
        ({"normalize_activations": "rms"}, "its normalize_activations is rms, which is not"),
        (
            {"normalize_activations": "covariance_whitening"},
            "fold it into the weights with SAELens .fold_activation_whitening",
        ),
        ({"normalize_activations": True}, "SAELens .fold_activation_norm_scaling_factor"),
        ({"rescale_acts_by_decoder_norm": 1}, "rescale_acts_by_decoder_norm is 1, neither true"),
        (
            {"normalize_activations": "expected_average_only_in"},
            "fold it into the weights with SAELens .fold_activation_norm_scaling_factor",
        ),
        (
            {"finetuning_scaling_factor": True},
            "its finetuning_scaling_factor is True[^\n]*multiply each row of W_dec",
        ),
        ({"activation_fn": "tanh-relu"}, "its activation_fn is tanh-relu[^\n]*name a JumpReLU"),
        ({"reshape_activations": "hook_z"}, "is hook_z, and its hook is none of the heads"),
        ({"hook_head_index": 3}, "its hook_head_index is 3[^\n]*of one head of attention"),
        (
            {"metadata": {"hook_name": "blocks.5.hook_mlp_out"}},
            "it is of what the MLP adds to the stream, not of the stream after a block; "
            "write hook: mlp_out",
        ),
        ({"metadata": {"hook_name": "blocks.5.hook_resid_mid"}}, "between attention and the MLP"),
        ({"metadata": {"hook_name": "hook_embed"}}, "the embedding, before the first block"),
        (
            {"metadata": {"hook_name": "blocks.5.hook_resid_pre"}},
            "trained on layer 4, not on layer 5",
        ),
    ],
)
def test_what_saelens_can_and_we_cannot_is_refused(tmp_path, change, said):
    refused(sae_lens(tmp_path, LENS | {"architecture": "jumprelu"} | change), said, layer=5)


@pytest.mark.parametrize("hook", ["blocks.6.hook_resid_pre", "model.layers.5"])
def test_the_stream_after_a_block_has_several_names(tmp_path, hook):
    config = LENS | {"architecture": "jumprelu", "metadata": {"hook_name": hook}}
    assert load_sae(sae_lens(tmp_path, config), width=WIDTH, layer=5).features == FEATURES
    refused(sae_lens(tmp_path, config), "trained on layer 5, not on layer 6", layer=6)


@pytest.mark.parametrize(
    "folder, config, l0",
    [
        ("layer_5/average_l0_82", {}, 82),
        ("average_l0_82", {"l0": 40.5}, 40.5),
        ("x", {"k": 32}, 32),
        ("x", {"l0": "many", "k": True}, None),
    ],
)
def test_the_published_l0_is_kept(tmp_path, folder, config, l0):
    (tmp_path / folder).mkdir(parents=True)
    sae = load_sae(scope_2(tmp_path / folder, config), width=WIDTH)
    assert sae.l0 == sae.to("cpu").l0 == l0


def test_saelens_weights_need_their_configuration(tmp_path):
    path = sae_lens(tmp_path, LENS)
    (tmp_path / "cfg.json").unlink()
    refused(path, "there is no cfg.json beside it")


def with_header(folder, text):
    """An npz whose W_enc has this header."""
    path = npz(folder)
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    header = np.lib.format.magic(1, 0) + len(text).to_bytes(2, "little") + text.encode()
    members["W_enc.npy"] = header + bytes(4 * WIDTH * FEATURES)
    with zipfile.ZipFile(path, "w") as new:
        for name, data in members.items():
            new.writestr(name, data)
    return path


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'shape': (8,",
        "{[]: 1}",
        "(" * 5000,
        "'" * 3,
        "x" * 20000,
        "",
        "{'descr': 1}",
    ],
)
def test_a_damaged_header_is_named_with_its_key(tmp_path, header):
    refused(with_header(tmp_path, header), "W_enc cannot be read: [^\n]*; fetch the file again")


def test_floats_that_torch_does_not_know_are_refused(tmp_path):
    wide = arrays()["b_dec"].astype(np.longdouble)
    refused(npz(tmp_path, b_dec=wide), "b_dec holds .*, not floats of 16, 32 or 64 bits")


@pytest.mark.parametrize("seed", range(6))
def test_a_damaged_zip_is_one_sentence_whatever_the_damage(tmp_path, seed):
    path = npz(tmp_path)
    whole = path.read_bytes()
    random = np.random.default_rng(seed)
    directory = whole.index(b"PK\x01\x02")
    for _ in range(60):
        data = bytearray(whole)
        for at in random.integers(directory, len(data), 3):
            data[at] = random.integers(256)
        path.write_bytes(bytes(data))
        with suppress(CannotRun):
            load_sae(path, width=WIDTH)
            continue
        with pytest.raises(CannotRun) as caught:
            load_sae(path, width=WIDTH)
        assert len(str(caught.value).splitlines()) == 1


def test_a_pointer_of_git_lfs_is_called_one(tmp_path):
    path = tmp_path / "params.npz"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 302\n")
    refused(path, "a pointer of Git LFS, not the file; fetch it: git lfs pull")


def test_a_scaling_factor_of_one_is_no_fault(tmp_path):
    assert (
        load_sae(npz(tmp_path, scaling_factor=np.ones(FEATURES)), width=WIDTH).features == FEATURES
    )
    refused(npz(tmp_path, scaling_factor=np.full(FEATURES, 3.0)), "scaling_factor is not 1")


@pytest.mark.parametrize(
    "change, more, said",
    [
        ({"d_sae": 99}, {}, "says d_sae 99, the weights say 16"),
        (
            {"apply_b_dec_to_input": "false"},
            {},
            "apply_b_dec_to_input is '?false'?, neither true nor false",
        ),
        ({"architecture": "standard"}, {}, "threshold is not understood"),
        ({}, {"scaling_factor": np.ones(16, np.float32)}, "scaling_factor is not understood"),
        (
            {"hook_name_out": "blocks.5.hook_mlp_out"},
            {},
            "and writes blocks.5.hook_mlp_out, which no",
        ),
    ],
)
def test_a_configuration_that_contradicts_the_weights_is_refused(tmp_path, change, more, said):
    config = LENS | {"architecture": "jumprelu"} | change
    refused(sae_lens(tmp_path, config, **more), said)


def test_an_empty_configuration_describes_nothing(tmp_path):
    refused(sae_lens(tmp_path, {}), "cfg.json beside it describes no SAE")


def test_a_plain_sae_of_gemma_scope_2_may_name_its_output(tmp_path):
    same = SCOPE_2 | {"hf_hook_point_out": SCOPE_2["hf_hook_point_in"]}
    assert load_sae(scope_2(tmp_path, same), width=WIDTH, layer=5).features == FEATURES
    refused(scope_2(tmp_path, SCOPE_2 | {"width": 99}), "says width 99")


def test_the_key_that_holds_nan_is_named_and_not_the_one_it_is_folded_into(tmp_path):
    config = LENS | {"architecture": "jumprelu"}
    refused(sae_lens(tmp_path, config, b_dec=np.full(8, np.nan, np.float32)), "b_dec holds NaN")


def test_a_standard_sae_is_a_relu_by_design(tmp_path):
    sae = load_sae(
        sae_lens(tmp_path, LENS | {"architecture": "standard"}, threshold=None), width=WIDTH
    )
    assert sae.relu
    assert sae.only(torch.tensor([1, 2])).relu
    assert sae.to("cpu").relu
    assert not load_sae(npz(tmp_path), width=WIDTH).relu
