"""The active values of a layer as numbers alone: a text a row would be most of what is read."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from harness.store.interface import ReadStore

_ACTIVE = """
SELECT row, feature::BIGINT AS feature, value::DOUBLE AS value
FROM activations JOIN wanted USING (prompt_id)
WHERE run_id = $run AND layer = $layer
ORDER BY feature, row
"""


def active_values(
    source: ReadStore, run_id: str, layer: int, prompts: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The prompt, as its place among these, the feature and the value of each active one of a layer.

    (n_active,) each, in the order of the features and then of the prompts.
    """
    ids: list[str] | pa.Array = list(prompts) or pa.array([], "string")
    wanted = {"prompt_id": ids, "row": np.arange(len(prompts))}
    columns = source.arrays(_ACTIVE, {"run": run_id, "layer": layer}, wanted=wanted)
    return columns["row"], columns["feature"], columns["value"]
