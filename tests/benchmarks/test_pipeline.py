"""A slice of the pipeline's benchmark: what it stores is what transformers and numpy find."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.pipeline import measure, write_model, write_sae, write_spec
from tests.helpers.store import query

LAYERS, WIDTH = (0, 1), 64
SMALL = {
    "hidden_size": WIDTH,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "vocab_size": 2048,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline")
    write_model(folder / "model", **SMALL)
    for layer in LAYERS:
        write_sae(folder / "saes", layer, WIDTH, features=128, active=0.1)
    write_spec(folder, 4, LAYERS)
    return folder


def encoded(folder, layer, stream):
    """Feature values (features,) in numpy, from the SAE's file."""
    with np.load(next((folder / "saes" / f"layer_{layer}").rglob("params.npz"))) as sae:
        values = stream @ sae["W_enc"] + sae["b_enc"]
        return np.where(values > sae["threshold"], values, 0)


def test_the_pipeline_is_measured_and_stores_what_a_plain_forward_finds(folder, figures):
    measure(folder, "cpu")
    shown = figures()
    assert shown["survey / observe"]["value"] > 0
    assert shown["peak memory with five layers"]["value"] > 0
    assert 0 < shown["the forward's share of the capture stage"]["value"] <= 1
    db = folder / "results.duckdb"
    ((prompt, text),) = query(db, "SELECT prompt_id, prompt FROM prompts ORDER BY line LIMIT 1")
    network = AutoModelForCausalLM.from_pretrained(folder / "model", attn_implementation="eager")
    ids = AutoTokenizer.from_pretrained(folder / "model")(text, return_tensors="pt").input_ids
    with torch.inference_mode():
        streams = network(ids, output_hidden_states=True).hidden_states
    for layer in LAYERS:
        ours = np.zeros(128)
        sql = "SELECT feature, value FROM activations WHERE prompt_id = $prompt AND layer = $layer"
        for feature, value in query(db, sql, prompt=prompt, layer=layer):
            ours[feature] = value
        theirs = encoded(folder, layer, streams[layer + 1][0, -1].float().numpy())
        both = (ours > 0) & (theirs > 0)
        assert both.sum() > 3
        assert (both != ((ours > 0) | (theirs > 0))).mean() < 0.02  # within rounding of a threshold
        assert np.allclose(ours[both], theirs[both], rtol=0.02)  # of bfloat16
