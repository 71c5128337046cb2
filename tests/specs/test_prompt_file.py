"""Prompt files with faults: all found at once, each at its line."""

import json
from pathlib import Path

import pytest

from harness.errors import InputError
from harness.specs.prompt_file import load_prompts


def prompt_faults(tmp_path: Path, content: list[dict] | bytes, **options) -> list[str]:
    path = tmp_path / "prompts.jsonl"
    if isinstance(content, list):
        content = "".join(json.dumps(line) + "\n" for line in content).encode()
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_prompts(path, **{"balanced": True, **options})
    return [str(fault).removeprefix(f"{path}:") for fault in caught.value.faults]


def test_right_prompts_load_completed(tmp_path, prompt_lines):
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n".join(map(json.dumps, prompt_lines)))
    prompts = load_prompts(path, balanced=True)
    assert [prompt.id for prompt in prompts] == [line["id"] for line in prompt_lines]
    assert (prompts[0].correct, prompts[0].misconception) == ("zero", "east")
    assert (prompts[1].correct, prompts[1].misconception) == ("zero", "east")
    assert [prompt.answer for prompt in prompts[:2]] == ["zero", "east"]


def test_the_proof_of_concepts_fields_are_enough(tmp_path):
    lines = [
        {"id": f"vel_accel_01{suffix}", "pair_id": "vel_accel_01", "label": label,
         "prompt": "At the top its acceleration is", "expected_correct_answer": answer}
        for suffix, label, answer in (("a", "correct", "downward"), ("b", "misconception", "zero"))
    ]  # fmt: skip
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    first, second = load_prompts(path)
    assert first.family == second.family == "vel_accel_01"
    assert (second.correct, second.misconception) == ("downward", "zero")


def change(lines, index, **fields):
    changed = [dict(line) for line in lines]
    changed[index] |= fields
    return [{k: v for k, v in line.items() if v is not None} for line in changed]


@pytest.mark.parametrize(
    "index, fields, expected",
    [
        (3, {"id": "car-speeda"}, "4: id 'car-speeda' is used on line 1 already"),
        (0, {"answer": " "}, "1: 'answer' is empty"),
        (0, {"answer": "zero "}, "1: 'answer' begins or ends with a space"),
        (0, {"prompt": "It is "}, "1: 'prompt' ends with white space"),
        (2, {"prompt": 7}, "3: 'prompt' is a number"),
        (2, {"promt": "x"}, "3: unknown field 'promt'; did you mean 'prompt'?"),
        (2, {"prompt": None}, "3: 'prompt' is missing"),
        (1, {"label": "misconceptoin"}, "2: unknown label 'misconceptoin'; did you mean"),
        (1, {"label": "correct"}, "2: pair 'car-speed' has a second correct variant"),
        (1, {"family": "bus"}, "2: pair 'car-speed' spans two families"),
        (1, {"answer": "zero", "prompt": "Careful car speed: it is"}, "2: the variants of pair 'car-speed' are equal"),
        (1, {"answer": "zero"}, "2: pair 'car-speed' has no wrong answer"),
        (0, {"answer": "west"}, "2: the correct variant of pair 'car-speed' answers 'west' where 'zero' is expected"),
        (0, {"prompt": "half \ud800"}, "1: 'prompt' holds half of a surrogate pair"),
        (0, {"prompt": "\u200b"}, "1: 'prompt' is empty"),
        (1, {"expected_correct_answer": "west"}, "2: the variants of pair 'car-speed' expect 'zero' and 'west'"),
        (0, {"answer": "zero\u200b"}, "2: the correct variant of pair 'car-speed' answers 'zero\u200b' where 'zero' is "
         "expected, which differ in characters that look the same; make the two the same"),
        (1, {"answer": "zero at last"}, "2: the answers 'zero' and 'zero at last' of pair 'car-speed' begin alike"),
        (4, {"prompt": "Careful car speed: it is"}, "5: family 'ball' has the same prompt as family 'car' (line 1)"),
        (0, {"tags": ["x"]}, "1: 'tags' is not an object of texts"),
        (0, {"tags": {"x": "\ud800"}}, "1: 'tags' holds half of a surrogate pair"),
    ],
)  # fmt: skip
def test_faults_of_prompts_are_named_by_line(tmp_path, prompt_lines, index, fields, expected):
    faults = prompt_faults(tmp_path, change(prompt_lines, index, **fields))
    assert any(fault.startswith(expected) for fault in faults), faults


def test_a_pair_without_its_other_variant_is_named(tmp_path, prompt_lines):
    assert prompt_faults(tmp_path, prompt_lines[:-1]) == [
        "7: pair 'ball-change' has no misconception variant; add its partner"
    ]


def test_an_unbalanced_family_is_named_with_its_words(tmp_path, prompt_lines):
    (fault,) = prompt_faults(tmp_path, prompt_lines[:6])
    assert fault.startswith("5: family 'ball' is not balanced: 'east' is right 1 time less often")
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, prompt_lines[:6])))
    assert len(load_prompts(tmp_path / "prompts.jsonl", balanced=False)) == 6


def test_all_faults_of_a_file_come_at_once(tmp_path, prompt_lines):
    lines = change(change(prompt_lines, 0, answer=""), 7, promt="x")
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    faults = prompt_faults(tmp_path, content + b"{not json}\n[1]\n")
    assert [fault.split(":")[0] for fault in faults] == ["1", "8", "9", "10"]


@pytest.mark.parametrize(
    "content, expected",
    [
        (b"\xef\xbb\xbf{}", "1: begins with a byte order mark"),
        (b'{"id": "a"}\n{"id": "\xff"}', "2:9: byte 0xff is not UTF-8"),
        (b"", "1: the file has no prompts"),
        (b"\n\n", "1: the file has no prompts"),
        (b'{"id": "a", "id": "b"}', "1: field 'id' is given twice, in columns 2, 13; keep one"),
        (b'{"tags": {"x": "a", "\\u0078": "b"}}', "1: field 'x' is given twice; keep one"),
        (b'{"tags": ' + b"[" * 100_000, "1:1: not JSON: nested too deeply"),
        (b"[" * 100_000, " none of its lines is a prompt"),
    ],
)
def test_a_file_without_prompts_is_refused_at_its_place(tmp_path, content, expected):
    assert prompt_faults(tmp_path, content)[0].startswith(expected)


NFC, NFD = "f\u00fchrt", "fu\u0308hrt"  # führt, in two ways


@pytest.mark.parametrize(
    "one, other, how",
    [
        ("ball", "Ball", "case"),
        ("a ball", "a  ball", "spaces"),
        ("a ball", "a\u00a0ball", "characters that look the same"),
        ("ball", "ba\u200bll", "characters that look the same"),
        (NFC, NFD, "characters that look the same"),
        ("m2", "m\u00b2", "how they are written"),
        ("ball", "\uff42all", "how they are written"),
    ],
)
def test_families_whose_names_are_taken_for_each_other_are_refused(
    tmp_path, prompt_lines, one, other, how
):
    names = {"car": one, "ball": other}
    lines = [line | {"family": names[line["family"]]} for line in prompt_lines]
    assert prompt_faults(tmp_path, lines) == [
        f"5: family '{other}' differs from family '{one}' (line 1) only in {how}; write both alike, or "
        "give them names that differ"
    ]


def test_pairs_that_are_their_own_families_are_compared_too(tmp_path, prompt_lines):
    lines = [{k: v for k, v in line.items() if k != "family"} for line in prompt_lines]
    for line in lines[4:6]:
        line["pair_id"] = "Car-Speed"
    faults = prompt_faults(tmp_path, lines, balanced=False)
    assert [fault.split(" (")[0] for fault in faults] == [
        "5: family 'Car-Speed' differs from family 'car-speed'"
    ]


@pytest.mark.parametrize(
    "prompt, how",
    [
        ("careful car speed: it is", "case"),
        ("Careful car\u00a0speed: it is", "characters that look the same"),
        ("Careful  car speed: it is", "spaces"),
        ("\uff23areful car speed: it is", "how they are written"),
    ],
)
def test_a_prompt_of_another_family_is_known_however_it_is_written(
    tmp_path, prompt_lines, prompt, how
):
    assert prompt_faults(tmp_path, change(prompt_lines, 4, prompt=prompt)) == [
        f"5: family 'ball' has the same prompt as family 'car' (line 1) but for {how}; put both pairs into "
        "one family"
    ]


def test_a_pair_differs_in_something_that_can_be_seen(tmp_path, prompt_lines):
    """Case may be what a pair is about: mW and MW are two answers. How é is encoded is not."""
    unseen = change(prompt_lines, 1, prompt="Careful car\u00a0speed: it is", answer="zero")
    (fault,) = [one for one in prompt_faults(tmp_path, unseen) if "equal" in one]
    assert fault.startswith("2: the variants of pair 'car-speed' are equal to the eye")
    same = change(prompt_lines, 1, answer="zer\u200bo")
    assert any("look the same" in one for one in prompt_faults(tmp_path, same))
    cased = change(change(prompt_lines, 1, answer="Zero"), 1, prompt="CAREFUL car speed: it is")
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n".join(map(json.dumps, cased)))
    assert load_prompts(path)[1].answer == "Zero"


def test_ids_that_look_the_same_are_named(tmp_path, prompt_lines):
    twin = prompt_lines[0]["id"] + "\u200b"
    (fault,) = prompt_faults(tmp_path, change(prompt_lines, 3, id=twin))
    assert fault.startswith(
        f"4: id '{twin}' differs from id 'car-speeda' (line 1) only in characters"
    )
