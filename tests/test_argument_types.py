"""Every argument of every public function of Python: a wrong type is said with the argument's name."""

import inspect
import pickle
from pathlib import Path

import pytest

import harness
from harness import testing

NOTHING = object()
NO_TEXT = {"a number": 5, "bytes": b"x", "a list": ["x"], "an object": NOTHING, "a type": str}
NO_PATH = {**NO_TEXT, "no name": "a\0b", "too long a name": "x" * 300}
NO_FLAG = {"a number": 1, "a text": "no", "none": None, "an object": NOTHING}
NO_COUNT = {"a part": 2.5, "a text": "2", "a truth": True, "nothing": 0, "a list": [2]}
NO_NUMBER = {
    "a text": "2",
    "a truth": True,
    "NaN": float("nan"),
    "an object": NOTHING,
    "none": None,
}
NO_FUNCTION = {"a text": "print", "none": None, "a number": 1}
NO_WORD = {**NO_TEXT, "another": "other", "nothing": ""}
NONE = {"none": None}
# What each argument may not be, by its name, and where that means another thing, by function and name.
WRONG = {
    **dict.fromkeys(("path", "spec", "db", "prompts"), NO_PATH | NONE),
    "output": NO_PATH,
    **dict.fromkeys(("target", "device", "run", "a", "b", "query", "name"), NO_TEXT | NONE),
    **dict.fromkeys(("model", "sae"), NO_TEXT | NONE),
    "attention": NO_WORD | NONE,
    **dict.fromkeys(("mock", "resume", "snapshot"), NO_FLAG),
    **dict.fromkeys(("batch_size", "limit"), NO_COUNT),
    **dict.fromkeys(("width", "features", "layers", "most", "tokens"), NO_COUNT | NONE),
    **dict.fromkeys(("masks.rows", "vocabulary", "prompt", "answers"), NO_COUNT | NONE),
    **dict.fromkeys(("wait", "scale"), NO_NUMBER),
    "seed": {"a part": 2.5, "a text": "2", "a truth": True, **NONE},
    "say": NO_FUNCTION,
    "dtype": NO_WORD,
    "random_model.dtype": NO_WORD | NONE,
    **dict.fromkeys(("padding_side", "architecture"), NO_WORD | NONE),
    "kinds": {"a word": "orthogonal", "a number": 3, "another": ["other"], **NONE},
    "widths": {"a number": 3, "a part": [2.5], "nothing": [0], **NONE},
    "of": {"a text": "saes", "a number": 3},
}
METHODS = ("sql", "frame", "find_run", "verdicts", "compare")
FUNCTIONS = {
    **{f"harness.{name}": getattr(harness, name) for name in harness.__all__},
    **{f"testing.{name}": getattr(testing, name) for name in testing.__all__},
    **{f"ResultsFile.{name}": getattr(harness.ResultsFile, name) for name in METHODS},
}
FUNCTIONS = {name: one for name, one in FUNCTIONS.items() if inspect.isfunction(one)}
ARGUMENTS = [
    (name, argument)
    for name, function in FUNCTIONS.items()
    for argument, parameter in inspect.signature(function).parameters.items()
    if argument != "self" and parameter.kind is not parameter.VAR_KEYWORD
]


def test_every_function_that_takes_something_is_held_against_the_table():
    taking = {name.partition(".")[2] for name, _ in ARGUMENTS}
    assert {"run", "plan", "open_store", "compare", "report", "load_spec"} < taking
    assert {"random_model", "random_sae", "saes", "cases", "rows", "masks"} < taking
    public = {name for name in dir(harness.ResultsFile) if not name.startswith("_")}
    assert public == {*METHODS, "close", "runs"}


@pytest.mark.parametrize("function, argument", ARGUMENTS)
def test_a_wrong_type_is_said_with_the_arguments_name(function, argument):
    called, name = FUNCTIONS[function], function.partition(".")[2]
    # What is needed besides; nothing is done with it, as an argument is wrong.
    others = {"self": None} if function.startswith("ResultsFile") else {}
    for other, parameter in inspect.signature(called).parameters.items():
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD:
            others.setdefault(other, 4 if function.startswith("testing") else "x")
    for kind, value in WRONG.get(f"{name}.{argument}", WRONG.get(argument)).items():
        with pytest.raises(harness.InputError) as raised:
            called(**{**others, argument: value})
        (fault,) = raised.value.faults
        assert fault.where.split(" ")[0].rstrip(":") == argument, (kind, fault)
        assert "\n" not in str(fault), (kind, fault)
        assert len(str(fault)) < 250, (kind, fault)


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(harness.InputError) as raised:
        harness.run(3, db=None, batch_size="2", mock="no")
    assert [str(fault) for fault in raised.value.faults] == [
        "spec: it is 3, of type int; give a text or a path",
        "db: it is None; give a text or a path",
        "batch_size: it is '2', of type str; give an integer of at least 1 or None",
        "mock: it is 'no', of type str; give True or False",
    ]


def test_what_only_a_look_inside_shows_is_said_as_well():
    for call, said in (
        (lambda: testing.rows(3), "vocabulary 3: ids go from 3"),
        (
            lambda: testing.random_model(layers=7, architecture="gemma3"),
            "layers 7: there are at most 6",
        ),
        (lambda: harness.plan("voices", ["organism"]), "target: it is "),
    ):
        with pytest.raises(harness.InputError, match=said):
            call()


def test_a_checked_function_is_still_the_one_that_was_written():
    assert inspect.signature(harness.plan).parameters["target"].default == ""
    assert harness.plan.__doc__.startswith("What a run would do")
    assert pickle.loads(pickle.dumps(harness.plan)) is harness.plan
    assert harness.plan(Path("voices"), target="organism") == harness.plan("voices", "organism")
