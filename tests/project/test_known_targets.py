"""The targets that come with the package: what the page says of them, and what is said of their models."""

import importlib.util
from math import prod

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from harness.specs.saelens import dictionaries
from harness.specs.targets import load_targets

SIZED = [one for one in load_targets().values() if one.architecture and one.parameters]


def test_the_page_has_the_table_of_today(root):
    spec = importlib.util.spec_from_file_location(
        "known_targets", root / "docs" / "known_targets.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = (root / "docs" / "targets.md").read_text(encoding="utf-8")
    assert module.with_table(text) == text, "python docs/known_targets.py"
    for name in load_targets():
        assert text.count(f"\n| `{name}` | ") == 1


@pytest.mark.parametrize("target", SIZED, ids=lambda one: one.name)
def test_a_known_model_has_as_many_weights_as_its_architecture(target):
    """Of transformers' own classes, without memory; what sees pictures has more, in its other half."""
    said = dict(target.architecture)
    config = CONFIG_MAPPING[said.pop("model_type")](**said)
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config)
    count = sum(prod(weight.shape) for weight in network.parameters())
    text = config.get_text_config()
    assert (text.num_hidden_layers, text.hidden_size) == (target.blocks, target.width)
    if target.name.startswith("gemma-3-4b"):
        assert count < target.parameters < 1.2 * count
    else:
        assert count == target.parameters


def test_a_known_model_is_the_one_that_the_registry_names():
    """By the last part of its name: SAELens has `gemma-2-9b` for google/gemma-2-9b."""
    models = {one.release: one.model for one in dictionaries()}
    others = {"gpt2": "gpt2-small"}
    for target in load_targets().values():
        if (target.catalogue or "").startswith("saelens:"):
            own = target.model.rpartition("/")[2]
            told = models[target.catalogue.removeprefix("saelens:")].rpartition("/")[2]
            assert told == others.get(own, own), target.name
