"""In which published layout a file is, by its name and by what lies beside it."""

from pathlib import Path
from typing import Any

from harness.sae import (
    circuit_tracer,
    dictionary_learning,
    gemma_scope,
    llama_scope,
    qwen_scope,
    sae_lens,
    sparsify,
)
from harness.sae.layout import Layout
from harness.sae.weight_checks import Broken
from harness.specs.sae_configuration import configurations_beside, read_configuration

SAELENS = "sae_weights.safetensors"
LAYOUTS = (
    "params.npz, params.safetensors, sae_weights.safetensors beside its cfg.json or config.json, "
    "sae.safetensors beside its cfg.json, checkpoints/final.safetensors below its hyperparams.json, "
    "layer_N.safetensors beside its config.yaml, ae.pt beside its config.json, or layerN.sae.pt"
)


def layout_of(path: Path, broken: Broken) -> Layout:
    """What the name of a file and the configuration beside it make of it.

    Raises what `broken` makes where that is missing, or says what is not read here.
    """
    if path.suffix == ".npz":
        return gemma_scope.npz_layout(path, broken)
    beside = [Path(name) for name in configurations_beside(path.as_posix())]
    there = next((one for one in beside if one.exists()), None)
    if qwen_scope.is_named_so(path):
        return qwen_scope.layout_of(path, _configuration(there, "", broken), broken)
    if circuit_tracer.is_named_so(path):
        return circuit_tracer.layout_of(path, _configuration(there, "", broken), broken)
    if path.name == "sae.safetensors":
        return sparsify.layout_of(path, _configuration(there, "cfg.json", broken), broken)
    if path.suffix == ".pt" or path.name == "ae.safetensors":
        return dictionary_learning.layout_of(_configuration(there, "config.json", broken), broken)
    if beside[0].name == "hyperparams.json":
        return llama_scope.layout_of(_configuration(there, "hyperparams.json", broken), broken)
    if path.name == SAELENS:
        config = _configuration(there, "cfg.json", broken)
        is_openmoss = there is not None and there.name == "config.json"
        return (llama_scope if is_openmoss else sae_lens).layout_of(config, broken)
    return gemma_scope.layout_of(path, _configuration(there, "", broken), broken)


def _configuration(path: Path | None, needed: str, broken: Broken) -> dict[str, Any]:
    """What the file beside the weights says of them, or nothing where none is `needed`."""
    if path is None:
        if needed:
            what = f"there is no {needed} beside it"
            raise broken(what, "put the configuration there that it was published with")
        return {}
    config = read_configuration(path)
    if config is None:
        kind = "YAML mapping" if path.suffix == ".yaml" else "JSON object"
        raise broken(f"{path.name} beside it is no {kind}")
    # Since version 6 SAELens keeps what is not of the SAE itself under `metadata`.
    metadata = config.get("metadata")
    return (metadata if isinstance(metadata, dict) else {}) | config
