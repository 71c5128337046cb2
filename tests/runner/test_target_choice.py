"""Which target is run where nobody says: the best one that is here."""

from dataclasses import replace

import pytest

from harness.errors import CannotRun, InputError, NothingToRunOn
from harness.runner import target_choice
from harness.runner.target_choice import LARGEST, choose_target
from harness.specs.targets import load_targets

KNOWN = load_targets()
ORGANISM, LARGE, SMALL = (KNOWN[name] for name in ("organism", "gemma-2-2b", "smollm2-135m"))


def choose(monkeypatch, targets, *, cuda=False, present=(), wanted="auto"):
    monkeypatch.setattr(target_choice.torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(
        target_choice.requirements, "is_present", lambda target, _: target.name in present
    )
    named = {target.name: target for target in targets}
    return choose_target(named, dict.fromkeys(named, ()), wanted)


def test_a_real_model_that_is_here_is_run_where_there_is_a_gpu(monkeypatch):
    every = (ORGANISM, LARGE, SMALL)
    found = choose(monkeypatch, every, cuda=True, present=("gemma-2-2b", "smollm2-135m"))
    assert found[0] == "gemma-2-2b"
    assert choose(monkeypatch, every, cuda=True, present=())[0] == "organism"


def test_without_a_gpu_what_comes_with_the_package_is_run(monkeypatch):
    name, why = choose(
        monkeypatch, (LARGE, SMALL, ORGANISM), present=("gemma-2-2b", "smollm2-135m")
    )
    assert name == "organism"
    assert why == "no CUDA device for gemma-2-2b, no CUDA device for smollm2-135m"


def test_where_nothing_else_is_here_a_small_model_is_run_on_the_processor(monkeypatch):
    both = ("gemma-2-2b", "smollm2-135m")
    name, why = choose(monkeypatch, (LARGE, SMALL), present=both)
    assert name == "smollm2-135m"
    assert why.startswith("its weights are here, and few")
    unknown = replace(SMALL, parameters=None)
    for other in (unknown, replace(SMALL, parameters=LARGEST)):
        with pytest.raises(NothingToRunOn):
            choose(monkeypatch, (LARGE, other), present=both)


def test_where_nothing_is_here_it_is_said_why(monkeypatch):
    why = "no CUDA device for gemma-2-2b; the weights of smollm2-135m are not here"
    with pytest.raises(NothingToRunOn, match=why) as raised:
        choose(monkeypatch, (LARGE, SMALL))
    assert isinstance(raised.value, CannotRun)
    assert raised.value.status == 3


def test_who_names_a_target_has_it_or_is_told(monkeypatch):
    assert choose(monkeypatch, (LARGE, SMALL), wanted="gemma-2-2b") == ("gemma-2-2b", "as asked")
    with pytest.raises(InputError, match="did you mean 'gemma-2-2b'"):
        choose(monkeypatch, (LARGE, SMALL), wanted="gemma-2-2")
