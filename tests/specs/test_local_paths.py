"""What a spec may name: files below a few folders, and nothing of any other file is shown."""

import json
import os
import shlex
from pathlib import Path

import pytest

from harness.errors import Fault, InputError
from harness.reports.terminal.excerpt import with_excerpts
from harness.specs.local_paths import FOLDERS, is_within, local_path
from harness.specs.spec_file import load
from harness.specs.targets import NO_SAE, load_targets
from harness.specs.text_file import read_text
from tests.helpers.cli import invoke
from tests.helpers.specs import BEHAVIOUR_SPEC, family_lines

SECRET = "canary-of-a-secret-file"


def write_jsonl(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout of a stranger's, beside files that are none of it."""
    monkeypatch.setenv("CANARY", SECRET)
    monkeypatch.delenv(FOLDERS, raising=False)
    home = tmp_path / "home"
    work = home / "checkout"
    for folder in (work / "evals", work / ".git", home / ".ssh", tmp_path / "elsewhere"):
        folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    for path in (
        tmp_path / "elsewhere" / "secret.txt",
        home / ".ssh" / "key",
        work / ".git" / "config",
        work / ".env",
    ):
        path.write_text(f"{SECRET}\n")
    write_jsonl(tmp_path / "elsewhere" / "prompts.jsonl", family_lines())
    write_jsonl(work / "prompts.jsonl", family_lines())
    monkeypatch.chdir(work)
    return work


def a_link(to):
    def make(checkout):
        (checkout / "evals" / "link.jsonl").symlink_to(checkout.parent.parent / to)
        return "link.jsonl"

    return make


def a_link_of_folders(checkout):
    (checkout / "evals" / "one").symlink_to("two")
    (checkout / "evals" / "two").symlink_to(checkout.parent.parent / "elsewhere")
    return "one/secret.txt"


def a_pipe(checkout):
    os.mkfifo(checkout / "evals" / "pipe.jsonl")
    return "pipe.jsonl"


PROMPTS = {
    "the environment": lambda _: "/proc/self/environ",
    "the environment, by its number": lambda _: f"/proc/{os.getpid()}/environ",
    "an absolute path": lambda checkout: str(checkout.parent.parent / "elsewhere" / "secret.txt"),
    "a path of dots": lambda _: "../../../elsewhere/secret.txt",
    "right prompts, but elsewhere": lambda _: "../../../elsewhere/prompts.jsonl",
    "a link": a_link("elsewhere/secret.txt"),
    "links of folders": a_link_of_folders,
    "a link to a device": a_link("../../../../../../dev/zero"),
    "a device": lambda _: "/dev/zero",
    "a pipe": a_pipe,
    "a key": lambda _: "../../.ssh/key",
    "a token of git": lambda _: "../.git/config",
    "hidden settings": lambda _: "../.env",
    "the users": lambda _: "/etc/passwd",
}  # fmt: skip


@pytest.mark.parametrize("what", PROMPTS)
def test_no_file_but_a_prompt_file_is_shown(checkout, what):
    spec = checkout / "evals" / "demo.yaml"
    spec.write_text(BEHAVIOUR_SPEC.replace("prompts.jsonl", PROMPTS[what](checkout)))
    for command in ("check", "plan"):
        said = invoke(command, spec)
        assert said.exit_code == 2, said.output
        assert SECRET not in said.output
        assert "root:" not in said.output
        assert "leads out of the folders" in said.output or "no regular file" in said.output


def test_a_file_of_the_checkout_that_holds_no_prompts_is_not_shown(checkout):
    (checkout / "notes.json").write_text(f'{{"token": "{SECRET}"}}\n{SECRET}\n')
    spec = checkout / "evals" / "demo.yaml"
    spec.write_text(BEHAVIOUR_SPEC.replace("prompts.jsonl", "notes.json"))
    said = invoke("check", spec)
    assert said.exit_code == 2
    assert SECRET not in said.output
    assert "none of its lines is a prompt" in said.output


@pytest.mark.parametrize("key", ["model", "sae"])
def test_nor_are_models_and_saes_looked_for_elsewhere(checkout, key):
    other = {"model": "sae: 'mock:orthogonal'", "sae": "model: fixtures/organism"}[key]
    spec = checkout / "evals" / "demo.yaml"
    for path in (
        "../../../elsewhere",
        str(checkout.parent.parent / "elsewhere"),
        "/proc/self",
        "../.git",
    ):
        spec.write_text(BEHAVIOUR_SPEC.replace("organism: {", f"own: {{{key}: {path}, {other}, "))
        with pytest.raises(InputError, match=f"demo.yaml:4.*{path} leads out of the folders"):
            load(spec)


def test_a_spec_that_is_a_link_to_another_file_is_not_read(checkout):
    (checkout / "evals" / "demo.yaml").symlink_to(
        checkout.parent.parent / "elsewhere" / "secret.txt"
    )
    said = invoke("check", "demo")
    assert said.exit_code == 2
    assert SECRET not in said.output
    (checkout / "evals" / "other.yaml").symlink_to(checkout / ".git" / "config")
    assert SECRET not in invoke("check", "other").output
    (checkout / "evals" / "right.yaml").symlink_to("../right.yaml")
    (checkout / "right.yaml").write_text(BEHAVIOUR_SPEC)
    assert load("right").spec.name == "demo"


def test_folders_that_are_named_are_read_from(checkout, monkeypatch):
    spec = checkout / "evals" / "demo.yaml"
    prompts = checkout.parent.parent / "elsewhere" / "prompts.jsonl"
    spec.write_text(BEHAVIOUR_SPEC.replace("prompts.jsonl", str(prompts)))
    with pytest.raises(InputError, match=f"set {FOLDERS}={prompts.parent}"):
        load(spec)
    monkeypatch.setenv(FOLDERS, f"/nowhere{os.pathsep}{prompts.parent}")
    assert len(load(spec).prompts) == 24


@pytest.mark.parametrize(
    "place", ["prompts.jsonl", "evals/prompts.jsonl", "data/deep/prompts.jsonl"]
)
def test_folders_around_a_spec_need_not_be_named(checkout, place):
    write_jsonl(checkout / place, family_lines())
    spec = checkout / "evals" / "demo.yaml"
    for name in (place, str(checkout / place), f"../{place}"):
        spec.write_text(BEHAVIOUR_SPEC.replace("prompts.jsonl", name))
        assert load(spec).prompts_path.resolve() == checkout / place


def test_the_whole_system_is_no_folder_around_a_spec(checkout, monkeypatch):
    """Above a spec in the first folder, or in a home, lies everything."""
    secret = checkout.parent.parent / "elsewhere" / "secret.txt"
    for home in ("/", str(checkout.parent), "/nonexistent"):
        monkeypatch.setenv("HOME", home)
        assert not is_within(secret, Path("/tmp/.."), Path("/"))
    monkeypatch.setenv("HOME", str(checkout.parent))
    assert not is_within(secret, checkout.parent.parent)
    monkeypatch.chdir("/")
    assert not is_within(secret)


def test_a_pipe_is_read_only_where_it_is_given(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="no regular file"):
        read_text(tmp_path / "pipe", 100)
    with pytest.raises(InputError, match="more than 100 bytes"):
        read_text(Path("/dev/zero"), 100, given=True)


@pytest.mark.parametrize("name", sorted(load_targets()))
def test_a_known_target_is_never_a_folder_of_the_working_directory(checkout, name):
    """A stranger's checkout may have a folder that is called like a repository."""
    target = load_targets()[name]
    before = local_path(target.model), local_path(target.sae)
    for repository in {target.model, target.sae}:
        if not repository.startswith("mock:"):
            (checkout / repository).mkdir(parents=True, exist_ok=True)
    assert (local_path(target.model), local_path(target.sae)) == before
    assert not any(path and path.is_relative_to(checkout) for path in before)
    spec = checkout / "evals" / "demo.yaml"
    text = BEHAVIOUR_SPEC.replace("organism: {", f"{name}: {{model: {target.model}, ")
    if target.sae == NO_SAE:
        text = text.replace("layers: [0, 1]", "layers: none")
    spec.write_text(text)
    resolved = load(spec).targets[name]
    assert (resolved.model, resolved.revision) == (target.model, target.revision)


def test_a_local_folder_is_called_one(checkout):
    (checkout / "someone" / "model").mkdir(parents=True)
    spec = checkout / "evals" / "demo.yaml"
    spec.write_text(
        BEHAVIOUR_SPEC.replace(
            "organism: {", "own: {model: someone/model, sae: 'mock:orthogonal', "
        )
    )
    target = load(spec).targets["own"]
    assert target.model == str(checkout / "someone" / "model")
    assert load("demo").targets["own"].model == "./someone/model"
    assert local_path("./someone/model").resolve() == checkout / "someone" / "model"
    (checkout / "someone" / "model").rmdir()
    assert load(spec).targets["own"].model == "someone/model"  # the repository


def test_a_configuration_beyond_any_machine_is_refused(checkout):
    model = checkout / "model"
    model.mkdir()
    spec = checkout / "evals" / "demo.yaml"
    spec.write_text(BEHAVIOUR_SPEC.replace(
        "organism: {layers: [0, 1]}", "own: {model: model, sae: 'mock:orthogonal', layers: all}"))  # fmt: skip
    for text in ('{"num_hidden_layers": 1000000000, "hidden_size": 8}',
                 '{"text_config": {"num_hidden_layers": 4, "hidden_size": 99999999999}}',
                 '{"num_hidden_layers": -4, "hidden_size": 8}'):  # fmt: skip
        (model / "config.json").write_text(text)
        with pytest.raises(InputError, match="says"):
            load(spec)
    for text in (
        "[" * 100_000,
        '{"num_hidden_layers": "a", "hidden_size": []}',
        '{"num_hidden_layers": 1e999}',
        "[]",
    ):
        (model / "config.json").write_text(text)
        assert load(spec).targets["own"].blocks is None
    (model / "config.json").unlink()
    os.mkfifo(model / "config.json")
    assert load(spec).targets["own"].blocks is None


def test_yaml_makes_no_objects(checkout):
    made = checkout / "made"
    for tag in (
        "!!python/object/apply:os.mkdir",
        "!!python/object/new:os.mkdir",
        "!!python/name:os.mkdir",
    ):
        (checkout / "evals" / "demo.yaml").write_text(f"name: {tag} [{made}]\n")
        assert invoke("check", "demo").exit_code == 2
    assert not made.exists()


def test_no_line_is_shown_of_a_file_that_was_not_read(checkout, monkeypatch):
    """Whatever is called like a place in it: here, a model."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    secret = checkout.parent.parent / "elsewhere" / "secret.txt"
    fault = Fault(
        f"{secret}:1", "it is neither a folder here nor a repository's name", "correct it"
    )
    assert SECRET not in "".join(with_excerpts([fault]))
    read_text(secret, 1000)
    assert SECRET in "".join(with_excerpts([fault]))


def test_the_folder_to_set_is_one_word_to_a_shell(checkout):
    """Where a link leads is a stranger's text, and the line is copied."""
    there = checkout.parent.parent / "a $(touch made);b"
    there.mkdir()
    (there / "prompts.jsonl").touch()
    (checkout / "evals" / "link").symlink_to(there)
    (checkout / "evals" / "demo.yaml").write_text(
        BEHAVIOUR_SPEC.replace("prompts.jsonl", "link/prompts.jsonl")
    )
    with pytest.raises(InputError) as refused:
        load("demo")
    assert shlex.split(str(refused.value).rpartition(" or set ")[2]) == [f"{FOLDERS}={there}"]
