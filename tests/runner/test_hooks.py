"""Runs of dictionaries at every site, from files in SAELens' layout to verdicts."""

import json

import pytest
import torch
from safetensors.torch import save_file

from harness.models.loading import load_model
from harness.models.model_files import ModelFiles
from harness.paths import bundled
from harness.store.database import Store
from tests.helpers.cli import invoke
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


def write(folder, hook, layer):
    """A random TopK dictionary, or transcoder, as SAELens writes one."""
    read, written = HOOKS[hook]
    width = z_width() if hook == "attn_out" else WIDTH
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


@pytest.mark.parametrize("hook", HOOKS)
def test_a_run_reads_and_edits_at_the_hook_of_its_target(tmp_path, hook):
    for layer in LAYERS:
        write(tmp_path / "saes", hook, layer)
    spec = spec_of(tmp_path, hook)
    db = tmp_path / "results.duckdb"
    done = invoke("run", spec, "--db", db)
    assert done.exit_code in (0, 1), done.output
    with Store.open_to_read(db) as store:
        (row,) = store.table("SELECT hook, layers, noise_floor FROM runs").to_pylist()
        assert (row["hook"], row["layers"]) == (hook, list(LAYERS))
        health = store.table("SELECT layer, l0 FROM sae_health ORDER BY layer").to_pylist()
        most = FEATURES if hook == "transcoder" else KEPT
        assert [(one["layer"], 0 < one["l0"] <= most) for one in health] == [(2, True), (4, True)]
        moved = store.table(
            "SELECT max(abs(impact)) AS far FROM impacts JOIN interventions USING (run_id, intervention_id) "
            "WHERE role = 'target' AND metric = 'logit_difference'"
        ).to_pylist()[0]["far"]
        assert moved > 1e-3
        single = store.table(
            "SELECT t.mean_impact, t.predicted FROM ablation_tests t WHERE role = 'single' "
            "AND metric = 'logit_difference'"
        ).to_pylist()
    # To first order attribution predicts what removing one of these does.
    same = [one for one in single if one["mean_impact"] * one["predicted"] > 0]
    assert len(single) == 6
    assert len(same) >= 5
