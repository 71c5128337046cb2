"""OpenMOSS' files: Llama Scope's (arXiv:2410.20526), and its later ones of DeepSeek R1's distillate.

Its encoder sees s x, s = sqrt(width) / mean norm of the training set, and a value counts where pre, times
the length of its decoder row where the configuration says so, is above a threshold that is of values and
not of the stream. So the factor goes into the matrices and the thresholds stay. SAELens multiplies the
thresholds by s too: then fewer features are active, or more, and the survey's L0 and misfit show it.
"""

from typing import Any, TypeGuard

from harness.sae import folds
from harness.sae.layout import BOTH, Layout, Step
from harness.sae.place import placed
from harness.sae.weight_checks import OTHER, Broken, count, flag, shown

_ARRAYS = {
    "W_enc": "encoder.weight",
    "b_enc": "encoder.bias",
    "W_dec": "decoder.weight",
    "b_dec": "decoder.bias",
}
_NORM = "dataset_average_activation_norm"
_NORMS = {"norm_in": f"{_NORM}.in", "norm_out": f"{_NORM}.out"}
_LOG = "log_jumprelu_threshold"
_MOST = 1e30  # what no norm or threshold comes near
BY_NORM = (
    "it divides each token's stream by its own norm: name one whose norm_activation is dataset-wise"
)
_PLAIN = ("apply_decoder_bias_to_pre_encoder", "use_glu_encoder")


def layout_of(config: dict[str, Any], broken: Broken) -> Layout:
    """The layout that a configuration describes; raises what `broken` makes where it is not read."""
    if config.get("d_model") is None or not config.get("hook_point_in"):
        raise broken(
            "the configuration beside it describes no SAE of Llama Scope",
            "put its hyperparams.json or config.json there",
        )
    act = config.get("act_fn", "jumprelu")
    by_length = flag(config, "sparsity_include_decoder_norm", True, broken)
    if act not in ("jumprelu", "topk"):
        raise broken(f"its act_fn is {shown(act)}", OTHER)
    if act == "topk" and by_length:
        what = (
            "its act_fn is topk of values times the lengths of decoder rows, which it does not keep"
        )
        raise broken(what, OTHER)
    if (norm := config.get("norm_activation", "dataset-wise")) not in ("dataset-wise", "inference"):
        raise broken(f"its norm_activation is {shown(norm)}, which is not supported", BY_NORM)
    for key in _PLAIN:
        if config.get(key, False) is not False:
            raise broken(f"its {key} is {shown(config[key])}, which is not supported", OTHER)
    # "inference": the factor has been folded into the weights already.
    norms = None if norm == "inference" else _norms(config.get(_NORM), broken)
    from_file = norms is None and norm != "inference"
    factor = () if norm == "inference" else (folds.rescaled(norms),)
    arrays, steps, top_k = _activation(config, str(act), by_length, broken)
    layout = Layout(
        arrays,
        (*steps, *factor),
        _NORMS if from_file else {},
        () if from_file else tuple(_NORMS.values()),
        turned=BOTH,
        top_k=top_k,
        facts=_facts(config, broken),
    )
    return placed(layout, config, broken)


def _activation(
    config: dict[str, Any], act: str, by_length: bool, broken: Broken
) -> tuple[dict[str, str], tuple[Step, ...], int | None]:
    """The arrays that the activation needs, the steps to its thresholds, and the k of TopK."""
    if act == "topk":
        top_k = count(config, "top_k", broken)
        if top_k is None:
            raise broken("its act_fn is topk, and it has no top_k", "add the top_k it has")
        return _ARRAYS, (folds.without_threshold,), top_k
    one = config.get("jump_relu_threshold")
    if one is not None and not _is_number(one):
        what = f"its jump_relu_threshold is {shown(one)}, not a number of 0 or more"
        raise broken(what, "correct it")
    lengths = (folds.by_decoder_length,) if by_length else ()
    if one is None:
        return _ARRAYS | {"log_threshold": _LOG}, (folds.exponential, *lengths), None
    return _ARRAYS, (folds.constant(float(one)), *lengths), None


def _facts(config: dict[str, Any], broken: Broken) -> dict[str, Any]:
    """The sizes that it says, and its L0 where that is known."""
    width, features = (count(config, key, broken) for key in ("d_model", "d_sae"))
    factor = config.get("expansion_factor")
    if features is None and width and _is_number(factor) and factor < 1e6:
        features = int(width * factor) or None
    facts: dict[str, Any] = {"d_in": width, "d_sae": features}
    # One threshold takes the place of the k that it was trained with.
    if config.get("jump_relu_threshold") is not None or config.get("act_fn") == "topk":
        facts["l0"] = config.get("top_k")
    return facts


def _norms(said: object, broken: Broken) -> tuple[float, float] | None:
    """The mean norms in and out; None where the configuration leaves them to the file."""
    if said is None:
        return None
    into = said.get("in") if isinstance(said, dict) else said
    out = said.get("out", into) if isinstance(said, dict) else said
    if not (_is_number(into) and _is_number(out) and into and out):
        raise broken(f"its {_NORM} is {shown(said)}, not numbers above 0", "correct it")
    return float(into), float(out)


def _is_number(said: object) -> TypeGuard[float]:
    return isinstance(said, int | float) and not isinstance(said, bool) and 0 <= said <= _MOST
