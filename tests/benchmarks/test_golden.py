"""The check of published values can fail, and says `not here` without the weights."""

import dataclasses

import pytest
import torch

from benchmarks.golden import CHECKS, Check, Value, main, observed, read, report
from harness.sae.encoding import encode
from harness.testing.models import random_model, random_sae

TEXT = "A ball is thrown straight up"


def test_without_the_weights_it_says_so_and_does_not_fail(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["golden"])
    monkeypatch.setattr("benchmarks.golden.is_present", lambda *_: False)
    assert main() == 0
    assert capsys.readouterr().out.count("not here: google/gemma-2-2b") == len(CHECKS)


@pytest.mark.parametrize("off", [1.0, 1.5])
def test_a_value_that_is_not_the_published_one_fails(off, figures):
    model, sae = random_model(2), random_sae(2)
    tokens, stream = read(model, 1, TEXT)
    values = encode(sae, stream[-1])
    feature = int(values.argmax())
    check = Check(
        TEXT,
        1,
        "float32",
        (
            Value(-1, off * float(values[feature]), 1e-3, feature),
            Value(tokens[-1], float(values[feature]), 1e-3, feature),
            Value(-1, float((values > 0).sum()), 0, of="active"),
            Value(-1, float(stream[-1].norm()), 1e-4, of="norm"),
        ),
    )
    assert report(check, model, sae) is (off == 1.0)
    first, *others = figures().values()
    assert first["holds"] is (off == 1.0)
    assert all(figure["holds"] for figure in others)


def test_what_is_read_is_the_stream_without_bos():
    model = random_model(2)
    tokens, stream = read(model, 1, TEXT)
    ids = torch.tensor([model.tokens(TEXT).prompt])
    with torch.no_grad():
        wanted = model.network(ids, output_hidden_states=True).hidden_states[2][0, 1:]
    assert torch.allclose(stream, wanted, atol=1e-4)
    assert "".join(tokens).strip() == model.text_of(model.tokens(TEXT).prompt).strip()


def test_the_published_values_are_those_of_the_source():
    first, second = CHECKS
    assert [value.feature for value in first.values] == [None, None, 10492, 8920, 6887]
    assert {value.feature for value in second.values} == {12082}
    assert all(dataclasses.asdict(check)["source"] for check in CHECKS)
    assert observed(Value(0, 0, 0, of="norm"), ["a"], torch.tensor([[3.0, 4.0]]), random_sae()) == 5
