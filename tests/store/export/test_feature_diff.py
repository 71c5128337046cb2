"""Which features differ between two sides: against brute force, with lists cut off, from folders."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import InputError
from harness.store.export.feature_diff import diff_features
from harness.store.export.files import read_features
from harness.store.export.formats import FeatureLine
from harness.store.export.jsonl import MADE_WITH
from tests.helpers.cli import invoke

COLUMNS = ("top_diff_features", "diff_magnitudes", "activations_a", "activations_b")
# Eighths add up exactly, and few of them make ties.
VALUES = st.integers(1, 20).map(lambda n: n / 8)
ACTIVE = st.dictionaries(st.integers(0, 9), VALUES, max_size=6)
LABELS = ("correct", "misconception")
FAST = settings(deadline=None, max_examples=150)


def a_line(pair, label, layer, values, keep=None, known=True, origin="real", prompt=None):
    """The `keep` strongest of some features; `known` is whether their number is told."""
    best = sorted(values.items(), key=lambda item: (-item[1], item[0]))[:keep]
    return FeatureLine(
        id=prompt or f"{pair}-{label}",
        pair_id=pair,
        label=label,
        layer=layer,
        topk_feature_ids=tuple(feature for feature, _ in best),
        topk_feature_activations=tuple(value for _, value in best),
        active=len(values) if known else None,
        origin=origin,
    )


@st.composite
def sides(draw):
    """Both variants' features of some pairs at some layers."""
    layers = draw(st.lists(st.integers(0, 3), min_size=1, max_size=2, unique=True))
    pairs = [f"p{i}" for i in range(draw(st.integers(1, 4)))]
    return {(pair, layer): (draw(ACTIVE), draw(ACTIVE)) for pair in pairs for layer in layers}


def lines_of(known, keep=None, told=True):
    return [
        a_line(pair, label, layer, values, keep, told)
        for (pair, layer), both in known.items()
        for label, values in zip(LABELS, both, strict=True)
    ]


def entries(found):
    return list(zip(*(getattr(found, name) for name in COLUMNS), strict=True))


@FAST
@given(sides(), st.integers(1, 5))
def test_differences_of_whole_lists_are_those_of_brute_force(known, top):
    report = diff_features(lines_of(known), None, names=("r", "r"), top=top)
    told = {(one.pair_id, one.layer): entries(one) for one in report.all_diffs}
    everything = {}
    for key, (a, b) in known.items():
        rows = [(f, abs(a.get(f, 0.0) - b.get(f, 0.0)), a.get(f, 0.0), b.get(f, 0.0)) for f in {*a, *b}]  # fmt: skip
        everything[key] = sorted(rows, key=lambda row: (-row[1], row[0]))
    assert told == {key: rows[:top] for key, rows in everything.items()}
    assert {one.id for one in report.all_diffs} == {None}
    assert list(report.diffs_by_layer) == sorted({layer for _, layer in known})
    for layer, found in report.diffs_by_layer.items():
        pairs = [rows for (_, at), rows in everything.items() if at == layer]
        features = {row[0] for rows in pairs for row in rows}
        means = [
            (f, *(sum(row[i] for rows in pairs for row in rows if row[0] == f) / len(pairs) for i in (1, 2, 3)))
            for f in features
        ]  # fmt: skip
        assert entries(found) == sorted(means, key=lambda row: (-row[1], row[0]))[:top]
        assert found.n_diffs == len(pairs)
    assert (report.a, report.b) == ("r, correct", "r, misconception")
    assert (report.topk_features, report.origin) == (top, "real")


def check_bounds(known, keep, told):
    report = diff_features(lines_of(known, keep, told), None, names=("r", "r"), top=99)
    for one in report.all_diffs:
        whole = known[one.pair_id, one.layer]
        listed = [
            dict(sorted(side.items(), key=lambda item: (-item[1], item[0]))[:keep]) for side in whole
        ]  # fmt: skip
        cut = [not told or len(mine) < len(side) for mine, side in zip(listed, whole, strict=True)]
        assert set(one.top_diff_features) == set(listed[0]) | set(listed[1])
        for feature, magnitude, *values in entries(one):
            truth = [side.get(feature, 0.0) for side in whole]
            for value, mine, off, true in zip(values, listed, cut, truth, strict=True):
                assert value == (None if off and feature not in mine else true)
            assert magnitude <= abs(truth[0] - truth[1])
            if None not in values:
                assert magnitude == abs(truth[0] - truth[1])
            elif listed[values.index(None)]:  # reached: the value lies from 0 to its list's least
                (value,) = [value for value in values if value is not None]
                least = min(listed[values.index(None)].values())
                assert magnitude == min(abs(value - x) for x in (0.0, least, min(value, least)))
    for layer, found in report.diffs_by_layer.items():
        pairs = [both for (_, at), both in known.items() if at == layer]
        for feature, magnitude, *means in entries(found):
            true = [[side.get(feature, 0.0) for side in both] for both in pairs]
            assert magnitude <= sum(abs(a - b) for a, b in true) / len(pairs)
            for i, mean in enumerate(means):
                assert mean in (None, sum(both[i] for both in true) / len(pairs))


@FAST
@given(sides(), st.integers(1, 4))
def test_of_lists_that_were_cut_off_a_difference_is_the_least_that_it_can_be(known, keep):
    check_bounds(known, keep, told=True)


@FAST
@given(sides())
def test_a_list_of_which_nothing_was_kept_bounds_nothing(known):
    check_bounds(known, 0, told=True)
    # Its other side is whole, and its values are all that is known.
    lines = [
        a_line(pair, label, layer, values, 0 if label == "correct" else None)
        for (pair, layer), both in known.items()
        for label, values in zip(LABELS, both, strict=True)
    ]
    for one in diff_features(lines, None, names=("r", "r"), top=99).all_diffs:
        a, b = known[one.pair_id, one.layer]
        for feature, magnitude, _, _ in entries(one):
            assert magnitude <= abs(a.get(feature, 0.0) - b.get(feature, 0.0))


def test_a_list_that_does_not_say_how_many_there_were_is_taken_for_cut_off():
    known = {("p", 0): ({1: 3.0, 2: 1.0}, {1: 0.5, 3: 2.0})}
    report = diff_features(lines_of(known, None, told=False), None, names=("r", "r"), top=9)
    # 2 is at most .5 on the other side, and 3 at most 1.
    assert entries(report.all_diffs[0]) == [
        (1, 2.5, 3.0, 0.5), (3, 1.0, None, 2.0), (2, 0.5, 1.0, None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "origins, said",
    [(("real", "real"), "real"), (("real", "stand-in"), "stand-in"), (("mock", "real"), "mock")],
)
def test_the_worse_origin_is_that_of_the_report(origins, said):
    lines = [a_line("p", label, 0, {1: 1.0}, origin=o) for label, o in zip(LABELS, origins, strict=True)]  # fmt: skip
    assert diff_features(lines, None, names=("r", "r")).origin == said
    assert diff_features(lines[:1], lines[1:], names=("r", "s")).origin == said


def folder_of(path, lines, *drop):
    """A folder with `features.jsonl`, without some of its keys."""
    path.mkdir()
    objects = [json.loads(line.model_dump_json()) for line in lines]
    kept = [{k: v for k, v in one.items() if k not in drop} for one in objects]
    (path / "features.jsonl").write_text("".join(json.dumps(one) + "\n" for one in kept))
    return path


def diffed(tmp_path, a, b=None, *more):
    out = tmp_path / "out.json"
    sides = ["--run_dir_a", a] + ([] if b is None else ["--run_dir_b", b])
    found = invoke("diff", *sides, "--output_path", out, *more)
    if found.exit_code == 0:
        assert found.stdout.strip() == str(out)
        return json.loads(out.read_text()), found.stderr
    return None, found


ONE = {("p", 0): ({1: 3.0, 2: 1.0}, {1: 0.5}), ("q", 0): ({1: 1.0}, {1: 0.25, 7: 2.0})}


def test_a_folder_that_says_its_origin_is_compared_without_a_word(tmp_path):
    report, said = diffed(tmp_path, folder_of(tmp_path / "a", lines_of(ONE)))
    assert said == ""
    assert report["origin"] == "real"
    assert report["all_diffs"][1]["top_diff_features"] == [7, 1]
    assert report["diffs_by_layer"]["0"]["top_diff_features"] == [1, 7, 2]
    assert report["diffs_by_layer"]["0"]["diff_magnitudes"] == [1.625, 1.0, 0.5]


def test_a_folder_as_the_proof_of_concept_wrote_it_is_read_and_taken_for_a_mocks(tmp_path):
    folder = folder_of(tmp_path / "a", lines_of(ONE), "origin", "active", *MADE_WITH)
    line = json.loads((folder / "features.jsonl").read_text().splitlines()[0])
    assert list(line) == [
        "id", "pair_id", "label", "layer", "topk_feature_ids", "topk_feature_activations",
    ]  # fmt: skip
    lines, told = read_features(folder)
    assert not told
    assert {one.active for one in lines} == {None}
    report, said = diffed(tmp_path, folder, None, "--topk_features", 1)
    assert "does not say whether its SAEs were real; taken for random ones" in said
    assert report["origin"] == "mock"
    assert report["all_diffs"][0]["diff_magnitudes"] == [2.5]


def test_folders_of_different_variants_are_compared_pair_by_pair(tmp_path):
    lines = lines_of(ONE)
    a, b = (
        folder_of(tmp_path / label, [line for line in lines if line.label == label])
        for label in LABELS
    )
    report, _ = diffed(tmp_path, a, b)
    whole, _ = diffed(tmp_path, folder_of(tmp_path / "both", lines))
    assert report["all_diffs"] == whole["all_diffs"]
    assert report["diffs_by_layer"] == whole["diffs_by_layer"]
    assert (report["a"], report["b"]) == (str(a), str(b))
    turned, _ = diffed(tmp_path, b, a)
    assert turned["all_diffs"][0]["activations_a"] == whole["all_diffs"][0]["activations_b"]


def test_the_same_prompts_in_two_runs_are_compared_one_by_one(tmp_path):
    other = {("p", 0): ({1: 2.0}, {1: 0.5}), ("q", 0): ({1: 1.0, 4: 5.0}, {})}
    a, b = folder_of(tmp_path / "a", lines_of(ONE)), folder_of(tmp_path / "b", lines_of(other))
    report, _ = diffed(tmp_path, a, b)
    told = {one["id"]: [one[name] for name in COLUMNS] for one in report["all_diffs"]}
    assert told == {
        "p-correct": [[1, 2], [1.0, 1.0], [3.0, 1.0], [2.0, 0.0]],
        "p-misconception": [[1], [0.0], [0.5], [0.5]],
        "q-correct": [[4, 1], [5.0, 0.0], [0.0, 1.0], [5.0, 1.0]],
        "q-misconception": [[7, 1], [2.0, 0.25], [2.0, 0.25], [0.0, 0.0]],
    }
    assert report["diffs_by_layer"]["0"]["n_diffs"] == 4
    same, _ = diffed(tmp_path, a, a)
    assert same["b"] == f"{a}, misconception"  # one folder twice: its own variants


def test_sides_that_share_nothing_are_refused(tmp_path):
    a = folder_of(tmp_path / "a", [a_line("p", "correct", 0, {1: 1.0})])
    b = folder_of(tmp_path / "b", [a_line("p", "correct", 1, {1: 1.0})])
    for sides in ((a, None), (a, b)):
        _, found = diffed(tmp_path, *sides)
        assert found.exit_code == 2
        assert "they have no pair and layer in common" in found.stderr
        assert len([line for line in found.stderr.splitlines() if line.startswith("error: ")]) == 1


GOOD = json.loads(a_line("p", "correct", 0, {1: 1.0, 2: 2.0}).model_dump_json())


@pytest.mark.parametrize(
    "bad, said",
    [
        ("{", "the line: "),
        ("5", "the line: "),
        (GOOD | {"label": "wrong"}, "label: "),
        (GOOD | {"layer": "first"}, "layer: "),
        (GOOD | {"more": 1}, "more: "),
        ({k: v for k, v in GOOD.items() if k != "pair_id"}, "pair_id: field required"),
        (GOOD | {"topk_feature_activations": [1.0, None]}, "topk_feature_activations.1: "),
        (GOOD | {"origin": "guess"}, "origin: "),
    ],
)
def test_wrong_lines_are_named_by_file_and_line(tmp_path, bad, said):
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / "features.jsonl"
    text = bad if isinstance(bad, str) else json.dumps(bad)
    path.write_text(f"{json.dumps(GOOD)}\n\n{text}\n{text}\n")
    _, found = diffed(tmp_path, tmp_path / "a")
    assert found.exit_code == 2
    first, second = (line for line in found.stderr.splitlines() if line.startswith("error: "))
    assert first.startswith(f"error: {path}:3: {said}")
    assert second.startswith(f"error: {path}:4: {said}")
    assert first.endswith("; see `harness schema features`")


def test_lists_of_unequal_lengths_are_wrong_lines_too(tmp_path):
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / "features.jsonl"
    other = GOOD | {"label": "misconception", "topk_feature_ids": [1, 2, 3]}
    path.write_text(f"{json.dumps(GOOD)}\n{json.dumps(other)}\n")
    with pytest.raises(InputError, match=r"features\.jsonl:2: "):
        diff_features(read_features(tmp_path / "a")[0], None, names=("r", "r"))


@pytest.mark.parametrize("content, said", [(None, "cannot be read: no such file"), (b"", "it has no lines"), (b"\xff\n", "is not UTF-8")])  # fmt: skip
def test_a_folder_without_lines_is_refused(tmp_path, content, said):
    (tmp_path / "a").mkdir()
    if content is not None:
        (tmp_path / "a" / "features.jsonl").write_bytes(content)
    _, found = diffed(tmp_path, tmp_path / "a")
    assert found.exit_code == 2
    assert said in found.stderr
    assert len([line for line in found.stderr.splitlines() if line.startswith("error: ")]) == 1
