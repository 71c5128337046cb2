"""Active values come as numbers, of the prompts that were asked for, in their order."""

from harness.store.active_values import active_values
from harness.store.database import Store
from harness.store.tables.observations import Activations


def rows(run_id, *values):
    return Activations.of(
        {
            "run_id": run_id,
            "prompt_id": prompt,
            "layer": layer,
            "readout": "last_prompt_token",
            "feature": feature,
            "value": value,
            "origin": "mock",
        }
        for prompt, layer, feature, value in values
    )


def test_they_are_those_of_a_layer_and_of_these_prompts_by_feature_and_place(tmp_path):
    of_run = [
        ("b", 1, 7, 0.5),
        ("a", 1, 7, 0.1),
        ("c", 1, 2, 3.0),
        ("b", 1, 2, 2.0),
        ("b", 2, 0, 1),
    ]
    with Store.open(tmp_path / "r.duckdb") as store:
        store.commit(rows("r", *of_run), rows("another", ("a", 1, 7, 9.0)))
        place, feature, value = active_values(store, "r", 1, ["b", "silent", "a"])
        nothing = active_values(store, "r", 3, ["b"])
        nobody = active_values(store, "r", 1, [])
    assert place.tolist() == [0, 0, 2]
    assert feature.tolist() == [2, 7, 7]
    # As a float32 holds them.
    assert value.tolist() == [2.0, 0.5, 0.10000000149011612]
    assert all(len(column) == 0 for column in (*nothing, *nobody))
