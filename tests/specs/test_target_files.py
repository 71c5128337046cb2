"""Targets of a user's own: what a file of them may say, where it counts, and what is wrong with one."""

import json
import os
import shutil

import pytest
from safetensors.torch import load_file, save_file

from harness import targets
from harness.errors import InputError
from harness.specs.spec_file import load
from harness.specs.target_files import known_targets, user_file
from harness.specs.targets import load_targets
from tests.cli.test_completion import completed
from tests.helpers.cli import invoke
from tests.helpers.specs import BEHAVIOUR_SPEC, family_lines

SPEC = (
    f"{BEHAVIOUR_SPEC}shortcuts: {{allow: a test}}\nunadjusted: a test\ncontrast: {{alpha: 0.3}}\n"
)

SECRET = "canary-of-a-secret-file"


@pytest.fixture
def work(tmp_path, monkeypatch, root):
    """A checkout with a spec, a model beside it, and a folder of settings that is not there yet."""
    work = tmp_path / "checkout"
    (work / "evals").mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    monkeypatch.chdir(work)
    shutil.copytree(root / "fixtures" / "organism", work / "models" / "toy")
    lines = "".join(json.dumps(line) + "\n" for line in family_lines())
    (work / "evals" / "prompts.jsonl").write_text(lines)
    (work / "evals" / "demo.yaml").write_text(SPEC.replace("organism: {", "mine: {"))
    return work


def of_user(text):
    user_file().parent.mkdir(parents=True, exist_ok=True)
    user_file().write_text(text)
    return user_file()


def beside(work, text):
    path = work / "evals" / "targets.toml"
    path.write_text(text)
    return path


TOY = '[{}]\nmodel = "{}"\nsae = "{}/sae"\nlayers = [1, 3]\n'


def test_a_users_own_target_is_known_everywhere(work, tmp_path):
    shutil.move(work / "models", tmp_path / "settings" / "misconception-harness" / "models")
    file = of_user(TOY.format("mine", "./models/toy", "models/toy") + 'summary = "my toy"\n')
    target = load("demo").targets["mine"]
    assert (target.blocks, target.width, target.layers) == (6, 128, (1, 3))
    assert target.model == str(file.parent / "models" / "toy")
    assert target.entry(3).layer == 3
    assert target.file == str(file)
    assert target.origin == "real"  # a copy: nothing says that it is a toy
    assert targets()["mine"] == target
    found = invoke("check", "demo")
    assert found.exit_code == 0, found.output
    assert "mine" in invoke("plan", "demo", "--target", "mine").output
    assert completed("extract", "--model", "") is not None
    assert "mine" in completed("run", "--target", "m")
    listed = invoke("targets").output
    assert "my toy" in listed
    assert str(file) in "".join(listed.split())
    (facts,) = [
        one for one in json.loads(invoke("targets", "--json").stdout) if one["name"] == "mine"
    ]
    assert facts["listed_in"] == str(file)
    assert not facts["comes_with_the_package"]
    assert len([one for one in facts["here"] if one["what"] != "the model"]) == 2
    assert "mine" in json.loads(invoke("doctor", "--json").stdout)["machine"]
    found = invoke(
        "new", "Does it?", "--target", "mine", "--prompts", "data/voices.jsonl",
        "--allow-shortcuts", "a test", "--output", "evals/new.yaml",
    )  # fmt: skip
    assert found.exit_code == 0, found.output


def test_a_target_beside_a_spec_is_of_its_folder(work, tmp_path):
    file = beside(work, TOY.format("mine", "../models/toy", "../models/toy"))
    target = load("demo").targets["mine"]
    assert target.file == "evals/targets.toml"
    assert target.entry(1).layer == 1
    assert "mine" in targets("demo")
    assert "mine" in targets()  # beside the specs that are given by name
    assert "mine" not in known_targets(tmp_path)
    assert "mine" in completed("run", "demo", "--target", "m")
    invoked = invoke("targets", "evals/demo.yaml", "--json")
    assert {one["listed_in"] for one in json.loads(invoked.stdout)} == {
        "package",
        str(file.relative_to(work)),
    }
    # A folder of the working directory is not meant by a name that is not there beside the file.
    beside(work, TOY.format("mine", "models/toy", "models/toy"))
    assert load("demo").targets["mine"].model == "models/toy"
    assert load("demo").targets["mine"].blocks is None


def test_it_runs_and_its_results_are_read_without_the_file(work, tmp_path):
    file = beside(work, TOY.format("mine", "../models/toy", "../models/toy"))
    assert invoke("run", "demo", "--db", "r.duckdb", "--device", "cpu").exit_code in (0, 1)
    file.unlink()
    shown = json.loads(invoke("sql", "FROM runs", "--db", "r.duckdb", "--format", "json").stdout)
    assert (shown[0]["target"], shown[0]["model"]) == ("mine", "./evals/../models/toy")
    for command in ("report", "show"):
        assert invoke(command, "latest", "--db", "r.duckdb").exit_code == 0
    again = invoke("rerun", "latest", "--db", "r.duckdb")
    assert again.exit_code == 2
    assert "unknown target 'mine'" in again.output


def test_another_model_under_its_name_confirms_nothing(work):
    """What a target is may change without its spec, of which results on the other may have been seen."""
    beside(work, TOY.format("mine", "../models/toy", "../models/toy"))
    call = ("run", "demo", "--db", "r.duckdb", "--device", "cpu")
    said = invoke(*call)
    assert "exploratory" not in said.output
    shutil.copytree(work / "models" / "toy", work / "models" / "other")
    weights = work / "models" / "other" / "model.safetensors"
    tensors = load_file(weights)
    tensors["model.norm.weight"] = tensors["model.norm.weight"] + 0.1
    save_file(tensors, weights, {"format": "pt"})
    assert "exploratory" not in invoke(*call, "--afresh").output
    (work / "models" / "other" / "SHA256SUMS").unlink()
    beside(work, TOY.format("mine", "../models/other", "../models/other"))
    assert "the model changed since its spec was registered" in invoke(*call).output


def test_a_known_collection_is_known_here_too(work):
    of_user(
        '[nine]\nmodel = "google/gemma-2-9b"\nsae = "google/gemma-scope-2b-pt-res"\nlayers = [3]\n'
    )
    target, known = known_targets()["nine"], load_targets()["gemma-2-2b"]
    assert (target.catalogue, target.sae_revision) == (known.catalogue, known.sae_revision)
    assert (target.revision, target.package, target.gated) == ("main", None, False)


def test_a_target_s_saes_may_be_of_another_hook_or_of_saelens_registry(work):
    of_user(
        '[a]\nmodel = "google/gemma-2-9b"\nsae = "saelens:gemma-scope-9b-pt-mlp-canonical"\n'
        'sae_width = "16k"\nlayers = [3]\n[b]\nmodel = "m"\nsae = "my/saes"\nhook = "attn_out"\n'
        '[c]\nmodel = "m"\nsae = "my/saes"\ncatalogue = "saelens:gemma-scope-9b-pt-res-canonical"\n'
    )
    a, b, c = (known_targets()[name] for name in "abc")
    assert (a.sae, a.hook, a.layers) == ("google/gemma-scope-9b-pt-mlp", "mlp_out", (3,))
    assert a.entry(3).path.startswith("layer_3/width_16k/average_l0_")
    assert (b.hook, b.catalogue) == ("attn_out", None)
    assert c.catalogue == "saelens:gemma-scope-9b-pt-res-canonical"


def test_without_saes_only_behaviour_is_claimed(work, root):
    of_user(f'[plain]\nmodel = "{root}/fixtures/organism"\n')
    assert known_targets()["plain"].origin == "stand-in"  # the package's toy, under whatever name
    (work / "evals" / "demo.yaml").write_text(
        SPEC.replace("organism: {", "plain: {layers: none} #")
    )
    found = invoke("check", "demo")
    assert found.exit_code == 0, found.output
    spec = SPEC.replace("organism: {layers: [0, 1]", "plain: {layers: [1]")
    (work / "evals" / "demo.yaml").write_text(spec)
    said = invoke("check", "demo")
    assert said.exit_code == 2
    assert "target 'plain' has a model and no SAEs" in said.output
    assert "6 layers of width 128, no SAEs" in invoke("targets").output


NAMES = '[{}]\nmodel = "a/b"\nsae = "c/d"\n'


@pytest.mark.parametrize("name", ["gemma-2-2b", "Organism"])
def test_no_file_overrides_the_package(work, name):
    for file in (of_user(NAMES.format(name)), beside(work, "\n" + NAMES.format(name))):
        line = 1 + (file.name in os.listdir(work / "evals"))
        said = invoke("targets")
        assert said.exit_code == 2
        assert (
            f"[{name}]: the package has a target '{name.lower()}'; rename this one" in said.output
        )
        assert ":1:" in said.output or line == 2
        file.unlink()


def test_neither_file_overrides_the_other(work):
    own = of_user(NAMES.format("mine"))
    beside(work, "# of the project\n" + NAMES.format("Mine"))
    for call in (["targets"], ["check", "demo"], ["plan", "demo"], ["run", "demo"], ["doctor"]):
        said = invoke(*call)
        assert said.exit_code == 2, call
        assert f"targets.toml:2: [Mine]: {own} has a target 'mine'; rename this one" in said.output


def test_nor_does_a_spec(work):
    of_user(NAMES.format("mine"))
    spec = SPEC.replace("organism: {", "mine: {model: fixtures/organism, ")
    (work / "evals" / "demo.yaml").write_text(spec)
    with pytest.raises(
        InputError, match=r"demo.yaml:4:.*'mine' is a target of .*targets.toml, and"
    ):
        load("demo")


WRONG = {
    "unknown key": ('[a]\nmodel = "m"\nsea = "s"\n', ":3: [a]: unknown key 'sea'; did you mean 'sae'?"),
    "a key that is missing": ('[a]\nsae = "s"\n', ":1: [a]: 'model' is missing; add `model = ...`"),
    "a type": ('[a]\nmodel = "m"\nlayers = "all"\n', ":3: [a]: layers: input should be a list"),
    "a type in a list": ('[a]\nmodel = "m"\nlayers = [1, "x"]\n', ":3: [a]: layers: input should be a valid int"),
    "no layer": ('[a]\nmodel = "m"\nlayers = [-1]\n', ":3: [a]: layers: input should be greater"),
    "a word": ('[a]\nmodel = "m"\ndtype = "int8"\n', ':3: [a]: dtype is "int8"; use one of float32, bfloat16'),
    "a date": ('[a]\nmodel = 2020-01-01\n', ":2: [a]: model: input should be a valid string"),
    "a date within": ('[a]\nmodel = "m"\narchitecture = {x = 2020-01-01}\n', ":3: [a]: architecture: input"),
    "what no machine holds": ('[a]\nmodel = "m"\narchitecture = {hidden_size = 9000000000}\n', ":3: [a]: its config.json says"),
    "a catalogue": ('[a]\nmodel = "m"\ncatalogue = "../x"\n', ":3: [a]: the package has no catalogue"),
    "a registry's release": ('[a]\nmodel = "m"\ncatalogue = "saelens:x"\n', ":3: [a]: the package has no catalogue"),
    "no release": ('[a]\nmodel = "m"\nsae = "saelens:x"\n', ":3: [a]: SAELens has no release 'x'; use one of"),
    "no hook": ('[a]\nmodel = "m"\nhook = "mid"\n', ':3: [a]: hook is "mid"; use one of resid_post, resid_pre'),
    "a package by a path": ('[a]\nmodel = "m"\npackage = "os.path"\n', ":3: [a]: package: string should match"),
    "files that lead out": ('[a]\nmodel = "m"\nsae = "s"\nfiles = "../x.npz"\n', ":4: [a]: it leads out of `sae`"),
    "random SAEs of no kind": ('[a]\nmodel = "m"\nsae = "mock:x"\n', ":1: [a]: there is no mock:x"),
    "a mock that is none": ('[a]\nmodel = "m"\nsae = "s"\norigin = "mock"\n', ":4: [a]: a mock's SAEs"),
    "another target": ('[a]\nmodel = "organism"\nsae = "s"\n', ":2: [a]: model is 'organism', and that is a target"),
    "no table": ("a = 1\n", ":1: [a]: it is no table; write [NAME] above"),
    "no name": ('["a/b"]\nmodel = "m"\n', ":1: [a/b]: it is no name of a target"),
    "an empty name": ('[""]\nmodel = "m"\n', ":1: []: it is no name of a target"),
    "no TOML": ("[a]\nmodel = m\n", ":2: not TOML: Invalid value"),
    "twice": ("[a]\nmodel = 'm'\n[a]\n", ":3: not TOML: Cannot declare"),
    "controls": ('[a]\nmodel = "m\\u001b]8;;x"\n', ":2: [a]: model: it holds control characters"),
    "controls in a name": ('["a\\u001b[31m"]\nmodel = "m"\n', ": [a\\x1b[31m]: it is no name of a target"),
    "a zero": ('[a]\nmodel = "m\\u0000"\n', ":2: [a]: model: it holds control characters"),
    "nothing": ('[a]\nmodel = ""\n', ":2: [a]: model: string should have at least 1"),
    "a huge number": ("[a]\nblocks = " + "9" * 5000 + "\nmodel = 'm'\n", ": not TOML: Exceeds the limit"),
    "a huge number in hex": ("[a]\nmodel = 'm'\nblocks = 0x" + "f" * 5000 + "\n", ":3: [a]: blocks has a number of more"),
    "deep": ("[a]\nmodel = " + "[" * 5000 + "]" * 5000 + "\n", ": it is nested too deeply"),
    "deep by dots": ("[a]\nmodel = 'm'\narchitecture" + ".a" * 200 + " = 1\n", "nested too deeply"),
    "many": ("".join(f"[t{i}]\nmodel = 'm'\n" for i in range(501)), ": it has more than 500 targets"),
    "a mark": ("\ufeff[a]\nmodel = 'm'\n", ":1: begins with a byte order mark"),
    "a line in a text": ('[a]\nmodel = """\\\nsea = 1"""\nsea = 2\n', ":4: [a]: unknown key 'sea'"),
    "in one line": ('a = {model = "m", sea = 1}\n', ":1: [a]: unknown key 'sea'"),
    "by dots": ('a.model = "m"\na.sea = 1\n', ":1: [a]: unknown key 'sea'"),
    "two": ('[a]\nsea = 1\n[b]\nsee = 1\n', ":4: [b]: unknown key 'see'"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("whose", ["user", "project"])
def test_what_is_wrong_is_said_with_its_place(work, whose, what):
    text, said = WRONG[what]
    file = of_user(text) if whose == "user" else beside(work, text)
    found = invoke("targets")
    assert found.exit_code == 2, found.output
    shown = str(file) if whose == "user" else "evals/targets.toml"
    assert f"{shown}{said}" in found.stderr or (said[0] != ":" and said in found.stderr)
    assert max(map(len, found.stderr.splitlines())) < 1000


def a_huge_file(path):
    path.write_bytes(b"#" * 10_000_000)


def a_folder(path):
    path.mkdir()


def bytes_of_no_text(path):
    path.write_bytes(b"[a]\nmodel = '\xff\xfe'\n")


def a_pipe(path):
    os.mkfifo(path)


def a_link_to_nothing(path):
    path.symlink_to("nothing")


HOSTILE = {
    a_huge_file: "has more than 500,000 bytes",
    a_folder: "cannot be read: is a directory",
    bytes_of_no_text: "targets.toml:2:10: byte 0xff is not UTF-8",
    a_pipe: "it is no regular file",
    a_link_to_nothing: "cannot be read: no such file",
}


@pytest.mark.parametrize("make", HOSTILE)
@pytest.mark.parametrize("whose", ["user", "project"])
def test_what_is_no_such_file_is_said(work, whose, make):
    user_file().parent.mkdir(parents=True)
    make(user_file() if whose == "user" else work / "evals" / "targets.toml")
    for call in (["targets"], ["check", "demo"], ["doctor"]):
        found = invoke(*call)
        assert found.exit_code == 2, found.output
        assert HOSTILE[make] in found.stderr


def test_many_dots_take_no_time(work):
    of_user("[a]\nmodel = 'm'\narchitecture" + ".a" * 200_000 + " = 1\n")
    assert "targets.toml:3: it has more than 300 dots" in invoke("targets").output


def test_what_a_spec_may_not_name_the_file_beside_it_may_not_either(work, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (work / ".git").mkdir()
    (work / "evals" / "link").symlink_to(tmp_path / "elsewhere")
    elsewhere = f"{tmp_path}/elsewhere"
    for path in (
        "../../elsewhere",
        elsewhere,
        "/proc/self",
        "../.git",
        "link",
        "./../../elsewhere",
        "/etc",
        "../../gone",
    ):
        for key in ("model", "sae"):
            other = {"model": 'sae = "c/d"', "sae": 'model = "a/b"'}[key]
            beside(work, f'[mine]\n{other}\n{key} = "{path}"\n')
            with pytest.raises(
                InputError, match=r"targets.toml:3: \[mine\]: .* leads out of the folders"
            ):
                load("demo")
    # Of a user's own file it may: who runs this wrote it.
    (work / "evals" / "targets.toml").unlink()
    of_user(f'[mine]\nmodel = "{elsewhere}"\nsae = "c/d"\n')
    assert load("demo").targets["mine"].model == elsewhere


def test_a_file_beside_a_spec_that_is_a_link_out_is_not_read(work, tmp_path):
    (tmp_path / "secret.toml").write_text(f'{SECRET} = "{SECRET}"\n')
    (work / "evals" / "targets.toml").symlink_to(tmp_path / "secret.toml")
    for call in (["check", "demo"], ["targets"], ["doctor", "demo"]):
        said = invoke(*call)
        assert said.exit_code == 2
        assert SECRET not in said.output
        assert "leads out of the folders" in said.output
    # A user's settings are often links to where they are kept.
    (work / "evals" / "targets.toml").unlink()
    user_file().parent.mkdir(parents=True)
    (tmp_path / "kept.toml").write_text(NAMES.format("mine"))
    user_file().symlink_to(tmp_path / "kept.toml")
    assert "mine" in known_targets()


def test_no_code_is_run_for_a_file_beside_a_spec(work, monkeypatch):
    (work / "evil.py").write_text("raise SystemExit('OWNED')\n")
    monkeypatch.syspath_prepend(str(work))
    beside(work, '[mine]\nmodel = "a/b"\nsae = "c/d"\npackage = "evil"\n')
    with pytest.raises(InputError, match=r"targets.toml:4: \[mine\]: a package's code is run"):
        load("demo")
    of_user('[mine]\nmodel = "a/b"\nsae = "c/d"\npackage = "evil"\n')
    (work / "evals" / "targets.toml").unlink()
    assert known_targets()["mine"].distribution == "evil"


def test_folders_that_are_not_there_are_said_where_targets_are_listed(work):
    of_user('[mine]\nmodel = "./gone"\nsae = "./gone/sae"\nlayers = [1]\nblocks = 2\nwidth = 8\n')
    said = invoke("targets")
    assert said.exit_code == 0
    assert "gone" in said.output
    assert invoke("doctor").exit_code == 0
    assert invoke("run", "demo", "--target", "mine", "--db", "x.duckdb").exit_code in (2, 3)
