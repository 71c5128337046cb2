"""Loading a model: whole, in its dtype, on its devices, or refused with a sentence."""

import dataclasses
import json
import os
import re
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from harness.errors import CannotRun, InputError
from harness.interventions.edits import Edit, apply, gain_and_shift
from harness.models import loading, waiting
from harness.models.devices import choose_device
from harness.models.language_model import LanguageModel
from harness.models.loading import load_model
from harness.models.model_files import ModelFiles
from harness.models.padded_batch import positions_of, reads_of
from harness.models.suffix import compact, suffix_of
from harness.paths import bundled
from harness.runner.stages.observe import observe
from harness.runner.stages.survey import survey
from harness.specs.targets import load_targets, resolve
from harness.testing.models import random_model, random_sae
from tests.helpers.runs import a_run_context
from tests.helpers.specs import ablation_plan

TEXT = "A ball is thrown straight up. At the top its velocity is"


@pytest.fixture
def copy(tmp_path):
    """A copy of the organism that may be broken."""
    shutil.copytree(bundled("fixtures", "organism"), tmp_path / "model")
    return tmp_path / "model"


def weights_of(folder):
    return load_file(folder / "model.safetensors")


def refused(folder, said, kind=CannotRun, **how):
    with pytest.raises(kind, match=said) as caught:
        load_model(ModelFiles(folder, "model"), **how)
    assert len(str(caught.value).splitlines()) == 1


def test_missing_weights_are_never_made_up(copy):
    """transformers would fill them with random numbers and warn."""
    weights = weights_of(copy)
    del weights["model.layers.3.mlp.up_proj.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    refused(copy, "1 weights are missing, model.layers.3.mlp.up_proj.weight")


def test_a_model_with_nan_is_refused_by_the_weights_name(copy):
    weights = weights_of(copy)
    weights["model.layers.2.mlp.down_proj.weight"][3, 4] = float("nan")
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    refused(copy, "model.layers.2.mlp.down_proj.weight holds NaN or infinity in float32")


def test_a_weight_that_float16_cannot_hold_is_refused(copy):
    weights = weights_of(copy)
    weights["model.layers.2.mlp.down_proj.weight"][3, 4] = 1e5
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    load_model(ModelFiles(copy, "model"))
    refused(copy, "infinity in float16; .* --dtype bfloat16", dtype="float16")


@pytest.mark.parametrize("left", [0, 100, -1000])
def test_a_cut_file_is_refused(copy, left):
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:left])
    refused(copy, "the model cannot be loaded")


@pytest.mark.parametrize(
    "change, said",
    [
        ({"hidden_size": 64}, "the model cannot be loaded"),
        ({"model_type": "nothing"}, "the model cannot be loaded"),
        (None, "the model cannot be loaded"),
    ],
)
def test_a_wrong_configuration_is_refused(copy, change, said):
    path = copy / "config.json"
    text = "{" if change is None else json.dumps(json.loads(path.read_text()) | change)
    path.write_text(text)
    refused(copy, said)


def test_a_tokenizer_that_is_missing_is_not_sought_in_the_cache(copy, monkeypatch):
    (copy / "tokenizer.json").unlink()
    refused(copy, "^model: it has no tokenizer; put its tokenizer.json or tokenizer.model beside")
    for offline in (False, True):
        monkeypatch.setattr(loading, "is_offline", lambda offline=offline: offline)
        with pytest.raises(CannotRun) as caught:
            load_model(ModelFiles(copy, "lab/model", revision="main"))
        assert "name a repository that has tokenizer.json" in str(caught.value)
        assert ("unset HF_HUB_OFFLINE" in str(caught.value)) == offline


def test_a_model_that_takes_long_to_load_is_told_of(monkeypatch, capsys):
    monkeypatch.setattr(waiting, "PATIENCE", 0.0)
    load_model(ModelFiles(bundled("fixtures", "organism"), "organism"))
    assert re.match(r"  loading organism \(\d+ s\)\n", capsys.readouterr().err)


def test_pickled_weights_are_not_read(copy):
    torch.save(weights_of(copy), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    refused(copy, "the model cannot be loaded")


def test_attention_that_drops_gemma_2s_cap_is_refused():
    refused(bundled("fixtures", "organism"), "drops the cap", kind=InputError, attention="sdpa")


def test_gemma_3_may_use_sdpa_and_says_the_same(tmp_path):
    made = random_model(3, architecture="gemma3")
    made.network.save_pretrained(tmp_path)
    made.tokenizer.save_pretrained(tmp_path)
    files = ModelFiles(tmp_path, "x")
    eager, sdpa = (load_model(files, attention=kind) for kind in ("eager", "sdpa"))
    assert (eager.facts["attention"], sdpa.facts["attention"]) == ("eager", "sdpa")
    rows = [eager.tokens(TEXT, "zero"), eager.tokens("Its velocity is", "downward")]
    for one, other in zip(
        eager.forward(eager.batch(rows)), sdpa.forward(sdpa.batch(rows)), strict=True
    ):
        assert torch.allclose(one[0], other[0], atol=1e-5)


def test_a_model_spread_over_memory_and_disk_says_the_same(tmp_path):
    """What `--device split` leads to where a device is too small: here blocks lie on the disk."""
    made = random_model(4)
    made.network.save_pretrained(tmp_path / "m")
    spread = {
        "model.embed_tokens": "cpu",
        "model.norm": "cpu",
        "model.rotary_emb": "cpu",
        "lm_head": "cpu",
    }
    spread |= {f"model.layers.{i}": "cpu" if i % 2 else "disk" for i in range(4)}
    network = AutoModelForCausalLM.from_pretrained(
        tmp_path / "m",
        device_map=spread,
        offload_folder=tmp_path / "off",
        attn_implementation="eager",
    )
    assert any(p.device.type == "meta" for p in network.parameters())
    model = LanguageModel(network, made.tokenizer)
    sae = random_sae(4)
    results = []
    for one in (made, model):
        batch = one.batch([one.tokens(TEXT, "zero"), one.tokens("Its velocity is", "not zero")])
        kept = one.cached_forward(*compact(batch, reads_of(batch)), [1])
        rows = torch.arange(2)
        tail = suffix_of(kept.batch, kept.reads, rows, torch.tensor([1, 1]))
        edit = Edit(sae, *gain_and_shift("zero", None))
        positions = tail.of(positions_of(kept.batch, "all"))
        residual = apply(edit, tail.of(kept.held[1]), positions)
        results.append((one.replay(kept, tail, 1, residual), one.forward(batch)))
    (replay, plain), (replayed, plainly) = results
    assert torch.allclose(replay, replayed, atol=1e-5)
    assert all(torch.allclose(a[0], b[0], atol=1e-5) for a, b in zip(plain, plainly, strict=True))


def test_a_model_to_be_split_loads_on_the_processor_where_there_is_no_gpu():
    model = load_model(ModelFiles(bundled("fixtures", "organism"), "o"), device="split")
    assert model.device.type == "cpu"


@pytest.mark.parametrize("layer", [1, 2])
def test_a_stream_that_overflows_is_named_by_its_layer(layer):
    """In float16 it happens to real models: NaN must not become a number in the store."""
    plan, run_context = ablation_plan(), a_run_context()
    model = run_context.model
    broken = model.blocks[layer].mlp.down_proj.weight
    plain = broken.data.clone()
    try:
        broken.data.fill_(float("inf"))
        with pytest.raises(CannotRun, match=f"layer {layer}: the residual stream .* in float32"):
            observe(run_context, plan, plan.prompts)
        with pytest.raises(CannotRun, match=f"layer {layer}: the residual stream .* in float32"):
            survey(run_context, plan.layers, [prompt.asked for prompt in plan.prompts])
    finally:
        broken.data.copy_(plain)
    observe(run_context, plan, plan.prompts)


def test_a_device_that_is_not_there_is_refused():
    assert choose_device("cpu") == ("cpu", "as asked")
    for wrong, meant in (("gpu", "cuda"), ("gpu:1", "cuda"), ("cpuu", "cpu"), ("cuda0", "cuda")):
        with pytest.raises(InputError, match=f"there is none of that name; did you mean '{meant}'"):
            choose_device(wrong)
    if not torch.cuda.is_available():
        with pytest.raises(CannotRun, match="device cuda: cannot be used"):
            choose_device("cuda")


@pytest.mark.parametrize("accelerate", [True, False])
def test_what_does_not_fit_on_the_gpu_is_spread_or_falls_back(monkeypatch, accelerate):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda *_: "Small GPU")
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda *_: (6 * 2**30, 8 * 2**30))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name if accelerate else None)
    assert choose_device("auto", 4 * 2**30) == ("cuda", "Small GPU")
    device, why = choose_device("auto", 10 * 2**30)
    assert device == ("split" if accelerate else "cpu")
    assert "10.7 GB do not fit into the 6.4 GB" in why


def test_a_targets_dtype_is_what_the_spec_says():
    choice = {"dtype": "float16"}
    spec = ablation_plan().spec.targets["organism"].model_copy(update=choice)
    assert resolve("organism", spec).dtype == "float16"
    assert dataclasses.asdict(load_targets()["organism"])["dtype"] == "float32"


@pytest.mark.parametrize(
    "name", ["../other/model.safetensors", "/tmp/model.safetensors", "a/../../b.safetensors"]
)
def test_an_index_that_leads_out_of_its_folder_is_refused(copy, name):
    index = {"weight_map": dict.fromkeys(weights_of(copy), name)}
    (copy / "model.safetensors").unlink()
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(copy, "not beside it")


def test_a_configuration_of_a_thousand_million_layers_is_refused_at_once(copy):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 10**9}))
    refused(copy, r"num_hidden_layers 1e\+09", InputError)


def test_a_pipe_among_the_files_is_refused_at_once(copy):
    os.mkfifo(copy / "special_tokens_map.json")
    refused(copy, "no regular file")


def test_code_and_pickles_beside_the_weights_are_not_run(copy, tmp_path, monkeypatch):
    """Neither what a configuration calls its own classes, nor weights that are a program."""
    made = tmp_path / "made"
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    (copy / "own.py").write_text(f"open({str(made)!r}, 'w').close()\n")
    classes = {
        "AutoConfig": "own.C",
        "AutoModelForCausalLM": "own.M",
        "AutoTokenizer": ["own.T", "own.T"],
    }
    for name in ("config.json", "tokenizer_config.json"):
        said = json.loads((copy / name).read_text()) if (copy / name).exists() else {}
        (copy / name).write_text(json.dumps(said | {"auto_map": classes}))
    load_model(ModelFiles(copy, "model"))
    assert not made.exists()
    said = json.loads((copy / "config.json").read_text()) | {"model_type": "own"}
    (copy / "config.json").write_text(json.dumps(said))
    refused(copy, "cannot be loaded")
    assert not made.exists()


def test_pickled_weights_are_not_opened(copy, tmp_path):
    (copy / "model.safetensors").unlink()
    torch.save(Program(str(tmp_path / "made")), copy / "pytorch_model.bin")
    refused(copy, "cannot be loaded")
    assert not (tmp_path / "made").exists()


class Program:
    """What makes a folder where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)
