"""Published values of Gemma 2 2B with GemmaScope, held against this harness where the weights are.

`python -m benchmarks.golden [--fetch]` (`nox -s golden`)

The values come from third parties who published what they saw, not from Google and not from a run of
this code: a disagreement is a question to look into, not a proof of a mistake here. Without the
weights each check says `not here`, and that is no failure.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.figures import show
from harness.errors import HarnessError
from harness.models.language_model import LanguageModel
from harness.models.loading import load_model
from harness.models.model_files import model_files
from harness.models.requirements import is_present
from harness.models.sae_files import sae_file
from harness.sae.encoding import Sae, encode
from harness.sae.weights import load_sae
from harness.specs.targets import Target, load_targets

THIRD_PARTY = "published by a third party"


@dataclass(frozen=True)
class Value:
    """One published number: a feature's value at a token, or something of the whole position.

    `token` counts from the end of the text, or is the token as it reads; `feature` None stands for
    what `of` names: the norm of the stream, or the number of active features.
    """

    token: int | str
    wanted: float
    within: float  # as a share of what is wanted
    feature: int | None = None
    of: str = "feature"


@dataclass(frozen=True)
class Check:
    """Published values of one text at one layer."""

    text: str
    layer: int
    dtype: str
    values: tuple[Value, ...]
    source: str = THIRD_PARTY


CHECKS = (
    Check(
        "The capital of France is",
        0,
        "float32",
        (
            Value(-1, 61.8125, 0.005, of="norm"),
            Value(-1, 14, 0, of="active"),
            Value(-1, 44.0724, 1e-3, 10492),
            Value(-1, 16.8729, 1e-3, 8920),
            Value(-1, 8.5976, 1e-3, 6887),
        ),
    ),
    Check(
        "My dog is sleeping on the couch.",
        20,
        "bfloat16",
        (
            Value(" dog", 87.0, 0.06, 12082),
            Value(" is", 69.5, 0.06, 12082),
            Value(" the", 49.0, 0.06, 12082),
        ),
    ),
)


def main() -> int:
    """Print every check; 1 where a value is not what was published."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fetch", action="store_true", help="fetch what is not here, 11 GB")
    options = parser.parse_args()
    target = load_targets()["gemma-2-2b"]
    good = True
    for check in CHECKS:
        if not options.fetch and not is_present(target, (check.layer,)):
            print(
                f"not here: {target.model} with the SAE of layer {check.layer}; --fetch gets them"
            )
            continue
        try:
            good &= report(check, *_loaded(replace(target, dtype=check.dtype), check.layer))
        except HarnessError as error:
            print(f"not here: {error}")
    return 0 if good else 1


def report(check: Check, model: LanguageModel, sae: Sae) -> bool:
    """Print each value beside the published one; whether all agree."""
    tokens, stream = read(model, check.layer, check.text)
    agree = True
    for value in check.values:
        ours = observed(value, tokens, stream, sae)
        holds = abs(ours - value.wanted) <= value.within * abs(value.wanted)
        agree &= holds
        what = value.of if value.feature is None else f"feature {value.feature}"
        name = f"layer {check.layer} {check.dtype}: {what} at {value.token!r} of {check.text!r}"
        unit = "features" if value.of == "active" else "of the stream"
        more = {"within": value.within, "source": check.source}
        show(name, round(ours, 4), unit, value.wanted, holds, **more)
    return agree


def read(model: LanguageModel, layer: int, text: str) -> tuple[list[str], Tensor]:
    """The tokens of a text as they read, and the stream after a block at each, BOS left out."""
    row = model.tokens(text)
    streams: list[Tensor] = []
    keep: Callable[[Tensor], None] = lambda residual: streams.append(residual[0, 1:].float())  # noqa: E731
    model.forward(model.batch([row]), {layer: keep})
    return [model.token_of(token) for token in row.prompt[1:]], streams[0]


def observed(value: Value, tokens: Sequence[str], stream: Tensor, sae: Sae) -> float:
    """This harness's number where one was published, of a stream (tokens, width)."""
    at = tokens.index(value.token) if isinstance(value.token, str) else value.token
    if value.of == "norm":
        return float(stream[at].norm())
    values = encode(sae, stream[at])
    return float((values > 0).sum()) if value.feature is None else float(values[value.feature])


def _loaded(target: Target, layer: int) -> tuple[LanguageModel, Sae]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = load_model(model_files(target), dtype=target.dtype, device=device)
    path: Path = sae_file(target, layer)
    return model, load_sae(path, width=model.width, layer=layer).to(device)


if __name__ == "__main__":
    raise SystemExit(main())
