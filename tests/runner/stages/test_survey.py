"""A survey: what it covers, what it loses, and four faults planted in SAEs that it names."""

import dataclasses
from collections import Counter
from functools import cache

import pytest
import torch

from harness.models.adaptive_batching import BatchLimit
from harness.models.language_model import LanguageModel
from harness.models.loading import load_model
from harness.models.model_files import ModelFiles
from harness.models.sae_files import sae_file
from harness.paths import bundled
from harness.runner import added_stages, checkpoint
from harness.runner.context import RunContext
from harness.runner.site_samples import SiteSamples
from harness.runner.stages.survey import losses, survey, survey_layer
from harness.sae.encoding import decode, encode
from harness.sae.weights import load_sae
from harness.specs.plan import make_plan
from harness.specs.spec_file import load
from harness.specs.targets import load_targets
from harness.testing.models import ARCHITECTURES, random_model, random_sae
from tests.helpers.added import profile_of_run, survey_of_run, surveyed
from tests.helpers.drawn import LAYERS, Poisoned, model, prompts, run_context_of
from tests.helpers.runs import a_run_context
from tests.helpers.specs import ablation_plan, family_lines


@cache
def organism():
    return load_model(ModelFiles(bundled("fixtures", "organism"), "organism"))


@cache
def own(layer):
    return load_sae(sae_file(load_targets()["organism"], layer), width=128)


@cache
def plan():
    whole = load(bundled("evals", "voices.yaml")).plan("organism")
    return make_plan(whole.spec, whole.target, whole.prompts[:24])


def health(saes=own, model=None, layers=range(6)):
    """What the survey says of each layer."""
    run_context = RunContext("r", "stand-in", model or organism(), saes, BatchLimit(16))
    rows, _ = surveyed(run_context, tuple(layers), [prompt.asked for prompt in plan().prompts])
    return {layer: {name: getattr(rows, name)[i] for name in rows.names()}
            for i, layer in enumerate(rows.layer)}  # fmt: skip


@cache
def sound():
    return health()


def test_saes_that_fit_raise_no_warning():
    assert {layer: found["warning"] for layer, found in sound().items()} == dict.fromkeys(range(6))


def test_an_sae_of_another_layer_is_named_with_its_own():
    found = health(lambda layer: own(4 if layer == 2 else layer), layers=[2, 4])
    assert "wrong layer: it fits the output of block 4, not of block 2" in found[2]["warning"]
    assert found[4]["warning"] is None


@pytest.mark.parametrize("layer", [1, 5])
def test_a_subtracted_bias_is_named_both_ways(layer):
    """The encoder's bias is what takes up a shift of its input by the decoder's bias."""
    sae = own(layer)
    moved = sae.b_dec @ sae.w_enc
    wants = dataclasses.replace(sae, b_enc=sae.b_enc + moved)
    has = dataclasses.replace(sae, b_enc=sae.b_enc - moved)
    assert (
        "expects it to be subtracted" in health(lambda _: wants, layers=[layer])[layer]["warning"]
    )
    assert "does not expect that" in health(lambda _: has, layers=[layer])[layer]["warning"]


def test_relu_in_the_place_of_jumprelu_is_named():
    """With what its publisher says of L0, and without."""
    found = health(
        lambda layer: dataclasses.replace(
            own(layer), threshold=torch.zeros(1024), l0=own(layer).l0 if layer % 2 else None
        )
    )
    for layer in range(6):
        assert "ReLU instead of JumpReLU" in found[layer]["warning"]
        assert found[layer]["l0"] > 3 * sound()[layer]["l0"]


def test_prompts_without_bos_are_named():
    model = LanguageModel(organism().network, organism().tokenizer, bos="never")
    found = health(model=model, layers=[2])
    assert "without BOS" in found[2]["warning"]


def test_a_model_whose_family_has_no_need_of_bos_is_not_warned_of():
    model = random_model(architecture="gpt2")
    assert not LanguageModel(model.network, model.tokenizer, bos="never").lacks_bos


def test_an_sae_of_another_model_is_warned_of_without_a_reason():
    found = health(lambda layer: random_sae(layer, 128, 512), layers=[3])
    assert "for no reason that is known" in found[3]["warning"]
    assert found[3]["loss_recovered"] < sound()[3]["loss_recovered"] - 0.1


def test_losses_are_those_of_plain_forwards():
    model, sae = random_model(2), random_sae(1)
    run_context = RunContext("r", "mock", model, lambda _: sae, BatchLimit(3))
    rows = [model.tokens(text) for text in ("A ball is thrown straight up.", "It is at rest", "It")]
    found = losses(run_context, sae, 1, lambda: SiteSamples(run_context, rows).forwards)
    sums, count = [0.0, 0.0, 0.0], 0
    for row in rows:
        ids = torch.tensor([row.prompt])
        for i, change in enumerate((
            lambda x: x,
            lambda x: decode(sae, encode(sae, x)),
            torch.zeros_like,
        )):  # fmt: skip

            def hook(_m, _i, out, change=change):
                return torch.cat([out[:, :1], change(out[:, 1:])], 1)

            handle = model.network.model.layers[1].register_forward_hook(hook)
            logits = model.network(ids).logits[0].log_softmax(-1)
            handle.remove()
            sums[i] -= float(logits[:-1].gather(1, ids[0, 1:, None]).sum())
        count += len(row.prompt) - 1
    plain, spliced, zeroed = (total / count for total in sums)
    assert found["loss"] == pytest.approx(plain, abs=1e-5)
    assert found["loss_spliced"] == pytest.approx(spliced, abs=1e-5)
    assert found["loss_zeroed"] == pytest.approx(zeroed, abs=1e-5)
    if zeroed > plain:
        assert found["loss_recovered"] == pytest.approx((zeroed - spliced) / (zeroed - plain))


def test_the_survey_covers_prompt_positions_but_bos():
    plan, run_context = ablation_plan(), a_run_context()
    texts = {prompt.text for prompt in plan.prompts}
    health, activity = surveyed(run_context, plan.layers, sorted(texts))
    positions = sum(len(run_context.model.tokens(text).prompt) - 1 for text in texts)
    assert list(health.n_positions) == [positions, positions]
    assert list(health.n_prompts) == [len(texts)] * 2
    assert all(0 < rate <= 1 for table in activity for rate in table.firing_rate)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_survey_never_reads_bos(architecture, side):
    class Unread(Poisoned):
        cached_forward = (
            LanguageModel.cached_forward
        )  # its losses are of whole streams, BOS and all

    used, texts = model(architecture, side), [prompt.asked for prompt in prompts()]
    health, activity = surveyed(run_context_of(Unread(used)), LAYERS, texts)
    wanted, rates = surveyed(run_context_of(used), LAYERS, texts)
    for name in ("n_positions", "l0", "fvu", "fvu_median", "dead"):
        assert list(getattr(health, name)) == list(getattr(wanted, name))
    for own, other in zip(activity, rates, strict=True):
        assert (own.firing_rate == other.firing_rate).all()


PARTS = 6  # of four texts, as many as fit in a few batches of one


def long_plan():
    return ablation_plan(family_lines(12))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    file = tmp_path_factory.mktemp("survey") / "r.duckdb"
    return survey_of_run(file, long_plan(), a_run_context(1))


def test_a_survey_in_parts_finds_what_one_of_all_texts_does(undisturbed):
    plan = long_plan()
    texts = [prompt.asked for prompt in plan.of("discovery")]
    health, activity = surveyed(a_run_context(1), plan.layers, texts)
    line, rates = undisturbed
    assert list(line.n_prompts) == [PARTS * 4] * 2
    assert list(line.n_positions) == list(health.n_positions)
    for name in ("l0", "fvu", "fvu_median", "dead"):
        assert list(getattr(line, name)) == pytest.approx(list(getattr(health, name)), rel=1e-5)
    for layer, own in zip(plan.layers, activity, strict=True):
        mine = rates.layer == layer
        assert (rates.feature[mine] == own.feature).all()
        assert rates.firing_rate[mine] == pytest.approx(own.firing_rate)
        assert rates.mean_activation[mine] == pytest.approx(own.mean_activation, rel=1e-5)


# Heard of are the beginning, each part and each layer.
@pytest.mark.parametrize("stop", [1, 2, 4, PARTS + 1, PARTS + 2, PARTS + 3])
def test_a_survey_that_is_stopped_anywhere_goes_on_to_the_same_bits(
    tmp_path, monkeypatch, undisturbed, stop
):
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    made, told = Counter(), []
    for work in (survey, survey_layer):
        monkeypatch.setattr(added_stages, work.__name__, counted(work, made))

    def hear(stage, done, total):
        told.append(done / total)
        if len(told) == stop:
            raise KeyboardInterrupt

    file, plan = tmp_path / "r.duckdb", long_plan()
    with pytest.raises(KeyboardInterrupt):
        survey_of_run(file, plan, a_run_context(1), hear)
    assert told == sorted(told)
    sums = list(tmp_path.glob("*.npz"))
    assert bool(sums) == (stop > 2)  # what is heard of is kept after that
    found = survey_of_run(file, plan, a_run_context(1), hear)
    assert [rows(columns) for columns in found] == [rows(columns) for columns in undisturbed]
    assert told[-1] == 1.0
    # Nothing is made twice but the part whose end was heard of and not kept.
    again = 1 < stop <= PARTS + 1
    assert made == {"survey": PARTS + again, "survey_layer": 2}
    assert not list(tmp_path.glob("*.npz"))


def counted(work, made):
    def calls(*given, **named):
        made[work.__name__] += 1
        return work(*given, **named)

    return calls


def test_a_damaged_file_of_sums_is_no_file(tmp_path):
    file = tmp_path / "sums.npz"
    checkpoint.Checkpoint(file).save({"a": torch.ones(50).numpy()})
    assert list(checkpoint.Checkpoint(file).load()) == ["a"]
    file.write_bytes(file.read_bytes()[:100])
    assert checkpoint.Checkpoint(file).load() == {}


def test_sums_that_a_stage_has_left_are_not_those_of_the_next(tmp_path, monkeypatch):
    """As where a process ends when the rows are in, and before the file is removed."""
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    file, plan = tmp_path / "r.duckdb", long_plan()
    with monkeypatch.context() as ending:
        ending.setattr(checkpoint.Checkpoint, "remove", lambda _: None)
        survey_of_run(file, plan, a_run_context(1))
    assert list(tmp_path.glob("*.npz"))
    found = profile_of_run(plan, a_run_context(1), file)
    assert rows(found) == rows(profile_of_run(plan, a_run_context(1)))


def rows(columns):
    return [[repr(value) for value in getattr(columns, name)] for name in columns.names()]
