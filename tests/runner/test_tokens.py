"""Tokens in neutral texts: planted features, kill and resume, and what a run on the organism stores and shows."""

import json
from functools import cache

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from harness.analysis.run_analysis import analyse
from harness.analysis.verdicts import verdicts
from harness.models.adaptive_batching import BatchLimit
from harness.models.hooks import capture
from harness.models.language_model import LanguageModel
from harness.models.padded_batch import positions_of
from harness.runner.context import RunContext
from harness.sae import Sae
from harness.specs.plan import make_plan
from harness.specs.prompt_file import load_texts
from harness.specs.prompt_pairs import complete
from harness.specs.spec import Spec
from harness.specs.targets import load_targets
from harness.store.database import Store
from harness.store.tables.interventions import InjectedTokens, Injections
from harness.testing.models import tokenizer
from tests.helpers import ROOT
from tests.helpers.cli import invoke
from tests.helpers.pages import Page, page_of
from tests.helpers.runs import made_once, run_into, run_on_organism
from tests.helpers.specs import family_lines, some_voices, write_few
from tests.helpers.store import changed_copy, query

WIDTH = 256  # so many dimensions that what is planted can be told from all else
NEUTRAL = ROOT / "data" / "neutral.jsonl"
PLANTED = {"token": 0, "context": 1}


@cache
def model():
    config = AutoConfig.for_model(
        "llama", hidden_size=WIDTH, intermediate_size=64, num_attention_heads=4, num_key_value_heads=4,
        head_dim=64, num_hidden_layers=1, vocab_size=len(tokenizer()), pad_token_id=0, bos_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    network = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    for name, parameter in network.named_parameters():
        if "norm" not in name:
            parameter.data.normal_(std=1.0 if "embed" in name else WIDTH**-0.5)
    return LanguageModel(network, tokenizer())


def lines():
    return family_lines(16)


@cache
def planted():
    """An SAE with a detector of the token ` them`, a feature of the last token after a confused context, and others."""
    word = tokenizer()(" them", add_special_tokens=False).input_ids
    embedded = model().network.get_input_embeddings().weight[word[0]]
    asked = [line["prompt"] for line in lines()]
    said = [line["label"] == "misconception" for line in lines()]
    texts = [text.text for text in load_texts(NEUTRAL)]
    batch = model().batch([model().tokens(one) for one in asked + texts])
    held = {}
    positions = positions_of(batch, "prompt")
    model().forward(batch, capture([0], held, positions))
    row, column = positions.nonzero().T
    confused = torch.tensor(said + [False] * len(texts))
    wanted = (confused[row] & (batch.place[row, column] == batch.last[row])).float()
    stream = torch.cat([held[0], torch.ones(len(row), 1)], 1)
    fitted = torch.linalg.solve(stream.T @ stream + 1e-2 * torch.eye(WIDTH + 1), stream.T @ wanted)
    torch.manual_seed(1)
    encoder = torch.randn(WIDTH, 30) / WIDTH
    encoder[:, 0] = embedded / embedded.square().sum()
    encoder[:, 1] = fitted[:-1]
    bias = torch.zeros(30)
    bias[1] = fitted[-1]
    threshold = torch.zeros(30)
    threshold[:2] = 0.5
    return Sae(
        encoder,
        bias,
        torch.nn.functional.normalize(torch.randn(30, WIDTH), dim=1),
        torch.zeros(WIDTH),
        threshold,
    )


def plan():
    spec = Spec.model_validate(
        {
            "name": "demo",
            "question": "?",
            "targets": {"organism": {"layers": (0,)}},
            "prompts": "-",
            "new_tokens": 0,
            "unadjusted": "each is read alone",
            "ablations": tuple(
                {
                    "name": name,
                    "select": {"by": "list", "features": {0: (feature,)}},
                    "controls": 1,
                    "tokens": {},
                }
                for name, feature in PLANTED.items()
            ),
            "claims": tuple(
                {"name": f"more-than-tokens-{name}", "tokens": name, "less_than": 0.5}
                for name in PLANTED
            ),
        }
    )
    prompts, faults = complete("-", list(enumerate(lines(), 1)), balanced=True)
    assert not faults
    others = {"data/neutral.jsonl": load_texts(NEUTRAL)}
    return make_plan(spec, load_targets()["organism"], prompts, others)


def context(batch_size=16):
    return RunContext("r", "mock", model(), lambda _: planted(), BatchLimit(batch_size))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A results file with a run of both planted features, and its tables."""
    db = tmp_path_factory.mktemp("planted") / "r.duckdb"
    return db, run_into(db, plan(), context())


def test_a_detector_of_a_token_is_refuted_and_a_feature_of_a_context_is_supported(whole):
    with Store.open_to_read(whole[0]) as store:
        made = plan()
        analysis = analyse(store, made, "r", "mock")
        drawn = {one.claim: one for one in verdicts(analysis, None, "r")}
        tests = [one for one in analysis.rows if one.table == "injection_tests"]
        tokens = list(store.read(InjectedTokens, "r").rows())
    of_token, of_context = (drawn[f"more-than-tokens-{name}"] for name in PLANTED)
    assert of_token.verdict == "refuted", of_token
    assert of_token.estimate > 0.9
    assert of_context.verdict == "supported", of_context
    assert of_context.estimate < 0.2
    assert of_context.n_units == 8
    assert [row["token"] for row in tokens if row["ablation"] == "token"] == [" them"]
    assert {row["token"] for row in tokens if row["ablation"] == "context"} == {" is"}
    assert {row["label"] for row in tokens} == {"misconception"}
    classes = {row["ablation"]: row["driven"] for one in tests for row in one.rows()}
    assert classes == {"token": "token-driven", "context": "context-dependent"}


def test_what_is_stored_is_what_forwards_of_the_same_ids_give(whole):
    """The largest value at any token but BOS, by one forward a text that shares nothing with the stage."""
    words = {" them": tokenizer()(" them", add_special_tokens=False).input_ids[0]}
    with Store.open_to_read(whole[0]) as store:
        rows = list(store.read(Injections, "r", ablation="token").rows())
    assert {row["placement"] for row in rows} == {"", "start", "middle", "end", "replace"}
    sae = planted()
    for text in load_texts(NEUTRAL)[:2]:
        plain = [2, *tokenizer()(text.text, add_special_tokens=False).input_ids]
        ids = {"": plain, "start": [2, words[" them"], *plain[1:]], "end": [*plain, words[" them"]]}
        for place, row in ids.items():
            seen = []
            hook = model().blocks[0].register_forward_hook(lambda *a, seen=seen: seen.append(a[2]))
            model().network(torch.tensor([row]))
            hook.remove()
            stream = seen[0][0] if isinstance(seen[0], tuple) else seen[0]
            pre = stream.reshape(len(row), WIDTH) @ sae.w_enc[:, 0]
            values = [float(one) if one > 0.5 else 0.0 for one in pre]
            peak = max(values[1:])
            (found,) = (r for r in rows if r["placement"] == place and r["prompt_id"] == text.id)
            assert found["peak"] == pytest.approx(peak, abs=1e-4)
            if place:
                at = 1 if place == "start" else -1
                assert found["at_tokens"] == pytest.approx(values[at], abs=1e-4)
            else:
                assert found["at_tokens"] != found["at_tokens"]  # null


class Killed(Exception):
    """The process ends here."""


def test_a_run_that_is_killed_anywhere_among_them_ends_as_the_one_that_was_not(whole, tmp_path):
    class Stopping(Store):
        left = 0

        def commit(self, *columns):
            stages = {stage for one in columns if one.table == "units" for stage in one.stage} & {
                "tokens",
                "inject",
            }
            super().commit(*columns)
            if stages:
                Stopping.left -= 1
                if Stopping.left == 0:
                    raise Killed

    db = tmp_path / "r.duckdb"
    kills = 0
    for _ in range(9):
        Stopping.left = 1
        try:
            tables = run_into(db, plan(), context(), Stopping)
        except Killed:
            kills += 1
        else:
            break
    assert kills >= 4
    assert tables == whole[1]


TOKENS = """\
ablations: [{name: top, select: {top: 2, by: contrast}, kind: zero, controls: 2, tokens: {at: [end]}}]
"""
CLAIMS = """\
unadjusted: few families confirm
claims:
  - {name: more-than-tokens, tokens: top, less_than: 0.5}
"""


def write(folder, claims=CLAIMS, more=TOKENS):
    path = write_few(folder, more, claims, layers="[3]", name="tokened")
    (folder / "few.jsonl").write_text(some_voices(6))
    return path


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A run of the claim on the organism."""
    return made_once(
        tmp_path_factory, "tokened.duckdb", lambda folder, db: run_on_organism(write(folder), db)
    )


def test_the_verdict_is_what_sql_says_of_the_rows(done):
    ((run, kind, estimate, because),) = query(
        done, "SELECT run_id, kind, estimate, because FROM verdicts"
    )
    assert kind == "tokens"
    assert because.startswith("3 families and 24 neutral texts")
    ((share, rows),) = query(
        done,
        f"""
        WITH seen AS (FROM evidence('{run}', 'more-than-tokens')),
        lengths AS (SELECT layer, feature, decoder_norm AS w FROM feature_activity WHERE run_id = '{run}'),
        own AS (SELECT avg(v) AS own FROM (SELECT sum(w * value) AS v FROM seen JOIN lengths
            USING (layer, feature) WHERE source = 'token_activations' GROUP BY prompt_id)),
        texts AS (SELECT prompt_id, sum(w * value) AS injected, sum(w * beside) AS base FROM seen
            JOIN lengths USING (layer, feature) WHERE source = 'injections' GROUP BY prompt_id),
        capped AS (SELECT least(injected, own) AS with_it, least(base, own) AS without, own FROM texts, own)
        SELECT (avg(with_it) - avg(without)) / (any_value(own) - avg(without)), count(*) FROM capped
        """,
    )
    assert rows == 24
    assert estimate == pytest.approx(share)
    discovering = query(
        done,
        "SELECT min(texts), max(texts) <= (SELECT count(DISTINCT prompt) FROM prompts "
        "WHERE split = 'discovery') FROM injected_tokens",
    )
    assert discovering[0][0] >= 5
    assert discovering[0][1]


def test_every_surface_tells_it(done):
    ((share,),) = query(done, "SELECT share FROM injection_tests WHERE feature IS NULL")
    said = " ".join(invoke("show", "tokened", "--db", done).output.split())
    assert f"of their activation in their own prompts: {share:.2f} (end)" in said
    (row,) = json.loads(invoke("show", "tokened", "--db", done, "--json").stdout)["tokens"]
    assert row["share"] == pytest.approx(share)
    found = invoke("sql", "token_injection", "--run", "tokened", "--format", "json", "--db", done)
    rows = json.loads(found.stdout)
    assert rows[0]["feature"] == "the set"
    assert len(rows) == 3
    page = Page(page_of(done, "tokened"))
    assert "Is it more than a detector of tokens?" in page.text
    assert all(row["driven"] in page.text for row in rows)


def test_a_run_repeated_from_the_store_alone_has_the_same_tokens(done, tmp_path):
    copy = changed_copy(done, tmp_path)
    found = invoke("rerun", "tokened", "--device", "cpu", "--db", copy)
    assert found.exit_code == 0, found.output
    ((runs,),) = query(copy, "SELECT count(DISTINCT run_id) FROM injections")
    assert runs == 2


@pytest.mark.parametrize(
    "change, said",
    [
        (("tokens: top", "tokens: tpo"), "there is no ablation 'tpo'; did you mean 'top'?"),
        ((", tokens: {at: [end]}", ""), "no tokens of 'top' are put into neutral texts; give the"),
        (("{at: [end]}", "{at: [end, end]}"), "a place is named twice; name each once"),
        (("{at: [end]}", "{into: none.jsonl}"), "there is no prompt file none.jsonl"),
        (("{at: [end]}", "{into: one.jsonl}"), "one.jsonl:1: it has one text, which has no spread"),
        (
            ("{at: [end]}", "{into: two.jsonl}"),
            "two.jsonl:2: its 'prompt' is that of line 1 as well",
        ),
        (("{at: [end]}", "{top: 0}"), "top"),
        (("{at: [end]}", "{grams: 0}"), "grams"),
        (("{at: [end]}", "{grams: 4}"), "grams"),
        (("{at: [end]}", "{at: [front]}"), "front"),
        (("less_than: 0.5", "less_than: 2"), "less_than"),
        (("unadjusted", "split: {discovery: 0}\nunadjusted"), "no family is left"),
    ],
)
def test_what_is_wrong_about_tokens_is_said(tmp_path, change, said):
    (tmp_path / "one.jsonl").write_text('{"id": "a", "prompt": "Tea."}')
    (tmp_path / "two.jsonl").write_text(
        '{"id": "a", "prompt": "Tea."}\n{"id": "b", "prompt": "Tea."}'
    )
    found = invoke("check", write(tmp_path, CLAIMS.replace(*change), TOKENS.replace(*change)))
    assert found.exit_code == 2
    assert said in found.stderr


def test_fewer_texts_than_families_are_the_floor(tmp_path):
    (tmp_path / "two.jsonl").write_text(
        '{"id": "a", "prompt": "Tea."}\n{"id": "b", "prompt": "Rum."}'
    )
    found = invoke("check", write(tmp_path, more=TOKENS.replace("at: [end]", "into: two.jsonl")))
    assert found.exit_code == 2
    assert (
        "claim 'more-than-tokens' cannot reach alpha 0.3: 2 families can give no p below 0.5"
        in found.stderr
    )


def test_plan_counts_the_forwards(tmp_path):
    needs = json.loads(invoke("plan", write(tmp_path), "--json").stdout)["needs"]
    said = {one["what"]: one["needed"] for one in needs}
    assert "in 1 forwards" in said["tokens top"]
    # Each of 24 texts as it is, and with the tokens of two features at its end: 72 rows, 16 at a time.
    assert "in 5 forwards" in said["inject top"]
