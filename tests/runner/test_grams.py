"""Sequences of tokens in neutral texts: a feature of a phrase, one of a context, and what is stored of them."""

from functools import cache

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from harness.analysis.run_analysis import analyse
from harness.analysis.verdicts import verdicts
from harness.models.adaptive_batching import BatchLimit
from harness.models.language_model import LanguageModel
from harness.runner.context import RunContext
from harness.sae import Sae
from harness.specs.plan import make_plan
from harness.specs.prompt_file import load_texts
from harness.specs.prompt_pairs import complete
from harness.specs.spec import Spec
from harness.specs.targets import load_targets
from harness.store.database import Store
from harness.store.tables.interventions import InjectedTokens, Injections
from harness.store.tables.results import InjectionTests
from harness.testing.models import tokenizer
from tests.helpers.runs import run_into
from tests.helpers.specs import family_lines
from tests.runner.test_tokens import NEUTRAL, PLANTED, planted

WIDTH, HEADS = 256, 4
PHRASE = ("es", " them")  # of "mixes them", which only the confused contexts have


@cache
def model():
    """A llama whose stream holds each token, and the one before it in other directions."""
    config = AutoConfig.for_model(
        "llama", hidden_size=WIDTH, intermediate_size=8, num_attention_heads=HEADS,
        num_key_value_heads=HEADS, head_dim=WIDTH // HEADS, num_hidden_layers=1, attention_bias=True,
        vocab_size=len(tokenizer()), pad_token_id=0, bos_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    network = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    for name, parameter in network.named_parameters():
        if "norm" not in name:
            parameter.data.normal_(std=1.0 if "embed" in name else WIDTH**-0.5)
    block = network.model.layers[0]
    attention, turn = block.self_attn, network.model.rotary_emb.inv_freq
    # Keys alike everywhere, and queries like a key one position back: what is turned least is the one before.
    for part in (attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj):
        part.weight.data.zero_()
        part.bias.data.zero_()
    key = torch.cat([torch.ones_like(turn), torch.zeros_like(turn)])
    attention.k_proj.bias.data += 20 * key.repeat(HEADS)
    attention.q_proj.bias.data += 20 * torch.cat([turn.cos(), -turn.sin()]).repeat(HEADS)
    attention.v_proj.weight.data += torch.eye(WIDTH)
    attention.o_proj.weight.data += torch.linalg.qr(torch.randn(WIDTH, WIDTH))[0]
    block.mlp.down_proj.weight.data.zero_()
    return LanguageModel(network, tokenizer())


def phrase():
    ids = [tokenizer()(one, add_special_tokens=False).input_ids for one in PHRASE]
    assert [len(one) for one in ids] == [1, 1]
    return ids[0][0], ids[1][0]


@cache
def dictionary():
    """Feature 0 is active at the second token of the phrase after its first, and nowhere else."""
    network = model().network
    first, second = network.get_input_embeddings().weight[list(phrase())].detach()
    block = network.model.layers[0]
    moved = block.self_attn.o_proj.weight.detach() @ block.input_layernorm(first).detach()
    torch.manual_seed(1)
    encoder = torch.randn(WIDTH, 30) / WIDTH
    encoder[:, 0] = second / second.square().sum() + moved / moved.square().sum()
    threshold = torch.zeros(30)
    threshold[0] = 1.5  # of 2 where both are there, and 1 where one of them is
    decoder = torch.nn.functional.normalize(torch.randn(30, WIDTH), dim=1)
    return Sae(encoder, torch.zeros(30), decoder, torch.zeros(WIDTH), threshold)


def plan(features, tokens):
    spec = {
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
                "tokens": tokens,
            }
            for name, feature in features.items()
        ),
        "claims": tuple(
            {"name": f"more-than-{name}", "tokens": name, "less_than": 0.5} for name in features
        ),
    }
    prompts, faults = complete("-", list(enumerate(family_lines(24), 1)), balanced=True)
    assert not faults
    others = {"data/neutral.jsonl": load_texts(NEUTRAL)}
    return make_plan(Spec.model_validate(spec), load_targets()["organism"], prompts, others)


def judged(db, made, language_model, sae):
    """The verdicts of a run by their claim, and its tables' rows by their name."""
    run_into(db, made, RunContext("r", "mock", language_model, lambda _: sae, BatchLimit(16)))
    with Store.open_to_read(db) as store:
        analysis = analyse(store, made, "r", "mock")
        rows = {
            kind.table: list(store.read(kind, "r").rows()) for kind in (InjectedTokens, Injections)
        }
    tests = [row for one in analysis.rows if one.table == "injection_tests" for row in one.rows()]
    drawn = {one.claim: one for one in verdicts(analysis, None, "r")}
    return drawn, rows | {InjectionTests.table: tests}


@pytest.mark.parametrize("grams, verdict", [(1, "supported"), (2, "refuted"), (3, "refuted")])
def test_a_feature_of_a_phrase_is_told_from_a_context_by_its_pairs_of_tokens(
    tmp_path, grams, verdict
):
    made = plan({"phrase": 0}, {"grams": grams})
    drawn, rows = judged(tmp_path / "r.duckdb", made, model(), dictionary())
    found = drawn["more-than-phrase"]
    assert found.verdict == verdict, found
    assert found.estimate < 0.1 if grams == 1 else found.estimate > 0.9
    tokens = {(row["gram"], row["rank"]): row for row in rows["injected_tokens"]}
    assert [tokens[n, 0]["token"] for n in range(1, grams + 1)] == [
        " them", "es them", "ixes them"
    ][:grams]  # fmt: skip
    assert all(len(row["before"]) == row["gram"] - 1 for row in tokens.values())
    assert {(row["gram"], row["placement"]) for row in rows["injection_tests"]} == {
        (n, place) for n in range(1, grams + 1) for place in ("start", "middle", "end", "replace")
    }
    shares = {n: [r["share"] for r in rows["injection_tests"] if r["gram"] == n] for n in (1, 2)}
    assert max(shares[1]) < 0.1
    if grams > 1:
        assert min(shares[2]) > 0.9


def test_what_is_stored_is_what_forwards_of_the_same_ids_give(tmp_path):
    made = plan({"phrase": 0}, {"grams": 2, "at": ("start", "end")})
    _, rows = judged(tmp_path / "r.duckdb", made, model(), dictionary())
    (pair,) = (row for row in rows["injected_tokens"] if row["gram"] == 2)
    assert (*pair["before"], pair["token_id"]) == phrase()
    stored = {(r["prompt_id"], r["placement"], r["gram"]): r for r in rows["injections"]}
    text = load_texts(NEUTRAL)[0]
    plain = [2, *tokenizer()(text.text, add_special_tokens=False).input_ids]
    (unchanged,) = (r for (name, place, _), r in stored.items() if (name, place) == (text.id, ""))
    assert unchanged["peak"] == 0
    assert unchanged["gram"] != unchanged["gram"]  # null
    for place, gram, ids, at in (
        ("start", 1, [2, phrase()[1], *plain[1:]], 1),
        ("start", 2, [2, *phrase(), *plain[1:]], 2),
        ("end", 2, [*plain, *phrase()], -1),
    ):
        with torch.no_grad():
            states = model().network.model.embed_tokens(torch.tensor([ids]))[0]
        pre = states @ dictionary().w_enc[:, 0]
        before = model().network.model.layers[0].input_layernorm(states).detach()
        pre[1:] += (
            before[:-1]
            @ model().network.model.layers[0].self_attn.o_proj.weight.T.detach()
            @ (dictionary().w_enc[:, 0])
        )
        values = [float(one) if one > 1.5 else 0.0 for one in pre[1:]]
        found = stored[text.id, place, gram]
        assert found["peak"] == pytest.approx(max(values), abs=1e-3)
        assert found["at_tokens"] == pytest.approx(values[at - 1 if at > 0 else at], abs=1e-3)
        assert (found["peak"] > 1.5) == (gram == 2)


def test_a_feature_of_a_context_stays_supported_and_one_of_a_token_refuted(tmp_path):
    from tests.runner.test_tokens import model as mixing

    made = plan(PLANTED, {"grams": 2})
    drawn, rows = judged(tmp_path / "r.duckdb", made, mixing(), planted())
    assert drawn["more-than-context"].verdict == "supported", drawn["more-than-context"]
    assert drawn["more-than-token"].verdict == "refuted", drawn["more-than-token"]
    assert "of 2-grams" in drawn["more-than-context"].because
    context = [row for row in rows["injected_tokens"] if row["ablation"] == "context"]
    assert {row["token"] for row in context if row["gram"] == 2} == {" rate is", " velocity is"}
