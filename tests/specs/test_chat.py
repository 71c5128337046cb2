"""Prompts as chats: what a line and a spec may say, and what they become."""

import json

import pytest

from harness.errors import InputError
from harness.specs.chat import Message
from harness.specs.prompt import baselines_of
from harness.specs.prompt_file import load_prompts
from harness.specs.spec_file import load
from tests.helpers.specs import BEHAVIOUR_SPEC, family_lines

TALK = [
    {"role": "system", "content": "You are brief."},
    {"role": "user", "content": "Where does it point?"},
]


def written(tmp_path, lines, spec=BEHAVIOUR_SPEC):
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "demo.yaml").write_text(spec)
    return tmp_path / "demo.yaml"


def lines_with(prompt_lines, change):
    return [{**line, "prompt": change(line["prompt"])} for line in prompt_lines]


def test_a_prompt_may_be_a_list_of_messages(tmp_path, prompt_lines):
    talk = lines_with(prompt_lines, lambda text: [TALK[0], {"role": "user", "content": text}])
    written(tmp_path, talk)
    for line, prompt in zip(prompt_lines, load_prompts(tmp_path / "prompts.jsonl"), strict=True):
        assert prompt.chat == (
            Message("system", "You are brief."),
            Message("user", line["prompt"]),
        )
        assert prompt.asked == prompt.chat
        assert prompt.text == f"system: You are brief.\nuser: {line['prompt']}"
        assert prompt.before_answer == ""


def test_chat_makes_of_every_text_what_a_user_asks(tmp_path, prompt_lines):
    plain, chat = (
        load(written(tmp_path, prompt_lines, BEHAVIOUR_SPEC + more)).plan("organism")
        for more in ("", "chat: true\n")
    )
    for before, prompt in zip(plain.prompts, chat.prompts, strict=True):
        assert before.chat == ()
        assert before.asked == before.text == prompt.text
        assert prompt.chat == (Message("user", before.text),)
    assert plain.spec.hash != chat.spec.hash
    assert plain.prompts_hash != chat.prompts_hash
    assert "chat" not in json.loads(plain.spec.canonical())


def test_who_says_something_tells_prompts_apart(tmp_path, prompt_lines):
    spec = load(written(tmp_path, prompt_lines, BEHAVIOUR_SPEC + "chat: true\n"))
    first = spec.plan("organism").prompts_hash
    other = lines_with(prompt_lines, lambda text: [*TALK, {"role": "assistant", "content": text}])
    assert load(written(tmp_path, other)).plan("organism").prompts_hash != first


def test_a_baseline_is_the_same_chat_with_another_question(tmp_path, prompt_lines):
    lines = [
        {
            **line,
            "prompt": [*TALK, {"role": "assistant", "content": line["prompt"]}],
            "baseline": "?",
        }
        for line in prompt_lines
    ]
    written(tmp_path, lines)
    prompts = load_prompts(tmp_path / "prompts.jsonl")
    for prompt, baseline in zip(prompts, baselines_of(prompts), strict=True):
        assert baseline.chat == (prompt.chat[0], Message("user", "?"), prompt.chat[2])
        assert baseline.text.startswith("system: You are brief.\nuser: ?\nassistant: ")
        assert prompt.before_answer == prompt.text + " "


USER = {"role": "user", "content": "Where?"}


@pytest.mark.parametrize(
    ("messages", "what"),
    [
        ([], "has no message"),
        ([USER] * 1001, "more than 1000 messages"),
        (["Where?"], "message 1 of 'prompt' is no role and content"),
        ([USER, {"role": "user"}], "message 2 of 'prompt' is no role and content"),
        ([{**USER, "name": "Ann"}], "is no role and content"),
        ([{**USER, "role": "teacher"}], "has no role that is known; write one of system, user"),
        ([{**USER, "role": ["user"]}], "has no role that is known"),
        ([{**USER, "content": " "}], "says nothing"),
        ([{**USER, "content": 3}], "says nothing"),
        ([{**USER, "content": "Where? "}], "begins or ends with white space"),
        ([{**USER, "content": "\ud800"}], "half of a surrogate pair"),
        ([TALK[0]], "no message of 'prompt' is the user's"),
        ([USER, TALK[0]], "ends with the system's message"),
    ],
)
def test_messages_that_are_none_are_named_with_their_line(tmp_path, prompt_lines, messages, what):
    lines = [prompt_lines[0], {**prompt_lines[1], "prompt": messages}, *prompt_lines[2:]]
    written(tmp_path, lines)
    with pytest.raises(InputError, match=r"prompts.jsonl:2: .*") as raised:
        load_prompts(tmp_path / "prompts.jsonl")
    assert what in str(raised.value)


def test_a_chat_is_not_compared_with_a_text(tmp_path, prompt_lines):
    half = [{**prompt_lines[0], "prompt": [USER]}, *prompt_lines[1:]]
    spec = written(tmp_path, half)
    with pytest.raises(InputError, match="is a chat and the other is a text"):
        load_prompts(tmp_path / "prompts.jsonl")
    assert load(written(tmp_path, half, spec.read_text() + "chat: true\n")).prompts[0].chat


def test_variants_that_differ_in_who_speaks_alone_are_no_twins(tmp_path, prompt_lines):
    first, second = prompt_lines[:2]
    roles = ("user", "assistant")
    lines = [
        {**line, "prompt": [{"role": "user", "content": "So?"}, {"role": role, "content": "Up."}]}
        for line, role in zip((first, second), roles, strict=True)
    ]
    written(tmp_path, [*lines, *prompt_lines[2:]])
    assert len(load_prompts(tmp_path / "prompts.jsonl")) == len(prompt_lines)


@pytest.mark.parametrize("at", ["last_user_token", "assistant"])
@pytest.mark.parametrize("where", ["readout", "positions"])
def test_positions_of_a_role_need_chats(tmp_path, where, at):
    lines = family_lines(6)
    spec = BEHAVIOUR_SPEC + f"readout: {{at: {at}}}\n"
    if where == "positions":
        spec = BEHAVIOUR_SPEC + (
            f"ablations:\n  - {{name: top, select: {{by: contrast}}, positions: {at}, controls: 19}}\n"
        )
    with pytest.raises(InputError, match=f"`{at}` is of chats, .* the first in line 1; set `chat"):
        load(written(tmp_path, lines, spec)).plan("organism")
    plan = load(written(tmp_path, lines, spec + "chat: true\n")).plan("organism")
    if where == "readout":
        assert plan.readout == ("last_user_token" if at == "last_user_token" else "assistant:mean")
