"""OpenMOSS' files: Llama Scope's (arXiv:2410.20526), and its later ones of DeepSeek R1's distillate.

Its encoder sees s x, s = sqrt(width) / mean norm of the training set, and a value counts where pre, times
the length of its decoder row where the configuration says so, is above a threshold that is of values and
not of the stream. So the factor goes into the matrices and the thresholds stay. SAELens multiplies the
thresholds by s too: then fewer features are active, or more, and the survey's L0 and misfit show it.
"""

from collections.abc import Mapping
from typing import Any, TypeGuard

from harness.sae import folds
from harness.sae.layout import Layout, Step
from harness.sae.weight_checks import BY_NORM, OTHER, TOP_K, Broken, check_hook

_ARRAYS = {
    "W_enc": "encoder.weight",
    "b_enc": "encoder.bias",
    "W_dec": "decoder.weight",
    "b_dec": "decoder.bias",
}
_NORM = "dataset_average_activation_norm"
_NORMS = {"norm_in": f"{_NORM}.in", "norm_out": f"{_NORM}.out"}
_LOG = "log_jumprelu_threshold"
_PLAIN = ("apply_decoder_bias_to_pre_encoder", "use_glu_encoder")


def layout_of(config: Mapping[str, Any], layer: int | None, broken: Broken) -> Layout:
    """The layout that a configuration describes; raises what `broken` makes where it is not read."""
    if not isinstance(config.get("d_model"), int) or not config.get("hook_point_in"):
        raise broken(
            "the configuration beside it describes no SAE of Llama Scope",
            "put its hyperparams.json or config.json there",
        )
    act = config.get("act_fn", "jumprelu")
    if act != "jumprelu":
        raise broken(f"its act_fn is {act}", TOP_K if "topk" in str(act) else OTHER)
    if (norm := config.get("norm_activation", "dataset-wise")) not in ("dataset-wise", "inference"):
        raise broken(f"its norm_activation is {norm}, which is not supported", BY_NORM)
    for key in _PLAIN:
        if config.get(key, False) is not False:
            raise broken(f"its {key} is {config[key]}, which is not supported", OTHER)
    hook = config["hook_point_in"]
    check_hook(hook, config.get("hook_point_out", hook), layer, broken)
    # "inference": the factor has been folded into the weights already.
    norms = None if norm == "inference" else _norms(config.get(_NORM), broken)
    from_file = norms is None and norm != "inference"
    factor = () if norm == "inference" else (folds.rescaled(norms),)
    one = config.get("jump_relu_threshold")
    if one is not None and not _is_number(one):
        raise broken(f"its jump_relu_threshold is {one!r}, not a number of 0 or more", "correct it")
    by_length = (
        (folds.by_decoder_length,) if config.get("sparsity_include_decoder_norm", True) else ()
    )
    thresholds: Step = folds.exponential if one is None else folds.constant(float(one))
    features = config.get("d_sae") or config["d_model"] * config.get("expansion_factor", 0)
    facts = {"d_in": config["d_model"], "d_sae": int(features) or None}
    if one is not None:  # one threshold takes the place of the k that it was trained with
        facts["l0"] = config.get("top_k")
    return Layout(
        _ARRAYS | ({"log_threshold": _LOG} if one is None else {}),
        (thresholds, *by_length, *factor),
        _NORMS if from_file else {},
        () if from_file else tuple(_NORMS.values()),
        turned=True,
        facts=facts,
    )


def _norms(said: object, broken: Broken) -> tuple[float, float] | None:
    """The mean norms in and out; None where the configuration leaves them to the file."""
    if said is None:
        return None
    into = said.get("in") if isinstance(said, dict) else said
    out = said.get("out", into) if isinstance(said, dict) else said
    if not (_is_number(into) and _is_number(out) and into and out):
        raise broken(f"its {_NORM} is {said!r}, not numbers above 0", "correct it")
    return float(into), float(out)


def _is_number(said: object) -> TypeGuard[float]:
    return isinstance(said, int | float) and not isinstance(said, bool) and 0 <= said < float("inf")
