"""What a model computes in: against what its weights are stored in, and against float32."""

from collections.abc import Iterator, Sequence

from harness.models.language_model import LanguageModel
from harness.models.loading import load_model
from harness.models.memory import free_memory
from harness.models.model_files import ModelFiles
from harness.models.padded_batch import Tokens
from harness.models.plain_forward import furthest
from harness.models.requirements import gigabytes
from harness.models.stored_dtypes import stored_dtypes
from harness.runner.validation.check import NATS_NEAR, Check

SPARE = 2  # times the weights in float32 that must be free for a second copy


def dtype(model: LanguageModel, files: ModelFiles | None) -> Iterator[Check]:
    """What the weights are stored in; float16 holds no bfloat16, whose largest numbers are far larger."""
    says = "what weights are stored in fits into what is computed in"
    if files is None or not (stored := stored_dtypes(files)):
        what = "in few bits, as GGUF" if files and files.gguf else "in an unknown type"
        yield Check("dtype", None, f"stored {what}, computed in {model.dtype}", says)
        return
    too_wide = model.dtype == "float16" and any(kind != "float16" for kind in stored)
    found = f"stored in {' and '.join(stored)}, computed in {model.dtype}"
    yield Check("dtype", not too_wide, found + ", which overflows" * too_wide, says)


def float32(
    model: LanguageModel, files: ModelFiles | None, rows: Sequence[Tokens]
) -> Iterator[Check]:
    """How far answers are from those of the same weights in float32, where there is room for these."""
    says = "answers' tokens are those of the same weights in float32, in nats to"
    if model.dtype == "float32":
        yield Check("float32", None, "it is computed in float32", says)
        return
    device = str(model.device)
    wanted, free = SPARE * 4 * model.n_parameters, free_memory(device)
    if files is None or (free is not None and free < wanted):
        there = "" if free is None else f": {gigabytes(wanted)} wanted, {gigabytes(free)} free"
        yield Check("float32", None, f"not measured, too big to load twice{there}", says)
        return
    whole = load_model(files, dtype="float32", device=device)
    far = furthest(model.forward(model.batch(rows)), whole.forward(whole.batch(rows)))
    bound = NATS_NEAR[model.dtype]
    found = f"{far:.2g} nats apart at most in {model.dtype}"
    yield Check("float32", far <= bound, found, f"{says} {bound:.1g}", None, far, bound)
