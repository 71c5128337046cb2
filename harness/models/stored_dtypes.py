"""What a model's weights are stored in, by the headers of its files."""

from collections import Counter
from math import prod

from safetensors import SafetensorError, safe_open

from harness.models.model_files import ModelFiles

# As safetensors and torch name them.
NAMES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def stored_dtypes(files: ModelFiles) -> dict[str, int]:
    """How many numbers of the weights are stored in each type, most first; empty for a GGUF file.

    A file that cannot be read is left out: loading it says why.
    """
    count: Counter[str] = Counter()
    for path in () if files.gguf else files.weights:
        try:
            with safe_open(path, "pt") as file:
                for name in file.keys():  # noqa: SIM118 no mapping
                    part = file.get_slice(name)
                    kind = part.get_dtype()
                    count[NAMES.get(kind, kind.lower())] += prod(part.get_shape())
        except (SafetensorError, OSError):
            continue
    return dict(count.most_common())
