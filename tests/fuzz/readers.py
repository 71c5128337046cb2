"""What reads files that may be a stranger's, and good files of each kind."""

import io
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from safetensors.torch import save

from harness.characters import disarm, escape_json, one_line
from harness.errors import HarnessError
from harness.models.sae_files import sae_file
from harness.sae import load_sae
from harness.sae.weights import check_sae
from harness.specs.csv_pairs import read_csv
from harness.specs.prompt_file import load_prompts, load_texts
from harness.specs.spec_file import load
from harness.specs.target_files import known_targets
from harness.specs.targets import load_targets
from harness.store.database import Store
from harness.store.export.parquet_runs import read_export
from tests.helpers import ROOT

WIDTH, FEATURES = 8, 12
CONFIGURATION = json.dumps(
    {
        "trainer": {
            "dict_class": "AutoEncoder",
            "layer": 5,
            "activation_dim": WIDTH,
            "dict_size": FEATURES,
        },
        "buffer": {"ctx_len": 128, "io": "out"},
    }
).encode()
BIDI = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029"


class Reader:
    """A kind of file: good ones, as bytes, and what reads them. `keeps` where reading changes nothing."""

    suffix = ""
    name = ""  # of the file, where its reader looks for one
    keeps = True
    seeds: Sequence[bytes] = ()

    def put(self, data: bytes, folder: Path) -> Path:
        """A file with these bytes, where it is read."""
        file = folder / (self.name or f"input{self.suffix}")
        file.write_bytes(data)
        return file

    def read(self, file: Path) -> None:
        """Read it. Raises `HarnessError` where it is none."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of what it holds."""


class Spec(Reader):
    """A spec, up to the plan of its work."""

    suffix = ".yaml"

    def __init__(self) -> None:
        self.seeds = [path.read_bytes() for path in sorted((ROOT / "evals").glob("*.yaml"))]

    def put(self, data: bytes, folder: Path) -> Path:
        """Beside the prompts that it names."""
        if not (folder / "data").exists():
            shutil.copytree(ROOT / "data", folder / "data")
        return super().put(data, folder)

    def read(self, file: Path) -> None:
        """As `check`, and its canonical text is that of a spec read again."""
        spec = load(file).spec
        again = type(spec).model_validate_json(spec.canonical(), strict=False)
        assert again == spec, "its canonical text is another spec"


class Prompts(Reader):
    """Prompt files, as pairs and as texts."""

    suffix = ".jsonl"

    def __init__(self) -> None:
        lines = (ROOT / "data" / "voices.jsonl").read_bytes().splitlines(keepends=True)
        self.seeds = [b"".join(lines[:24]), b"".join(lines[24:40])]

    def read(self, file: Path) -> None:
        """Each way to read it by itself."""
        for way in (lambda: load_prompts(file), lambda: load_texts(file)):
            _either(way)


class Csv(Reader):
    """A table of pairs."""

    suffix = ".csv"
    seeds = (
        b"correct,misconception,family\nA ball falls|down,A ball falls up,one\n",
        b'careful,careless,careful_answer,careless_answer,tag\n"a, b","c ""d""",x|y,z,1\n' * 3,
    )

    def read(self, file: Path) -> None:
        """As `harness new FILE.csv`."""
        read_csv(file)


class Targets(Reader):
    """A file of targets beside a spec."""

    suffix, name = ".toml", "targets.toml"

    def __init__(self) -> None:
        bundled = (ROOT / "harness" / "targets.toml").read_bytes()
        self.seeds = [
            bundled.replace(b"[", b"[own-"),
            b'[mine]\nmodel = "./model"\nsae = "./saes"\nsummary = "mine"\nlayers = [0, 1]\nl0 = {0 = 5}\n',
        ]

    def read(self, file: Path) -> None:
        """As beside a spec."""
        known_targets(file.parent)


class _Dictionary(Reader):
    arrays: ClassVar[Mapping[str, np.ndarray]] = {
        "W_enc": np.ones((WIDTH, FEATURES), np.float32),
        "b_enc": np.zeros(FEATURES, np.float32),
        "W_dec": np.ones((FEATURES, WIDTH), np.float32),
        "b_dec": np.zeros(WIDTH, np.float32),
        "threshold": np.ones(FEATURES, np.float32),
    }

    def read(self, file: Path) -> None:
        """Its headers, then its weights."""
        _either(lambda: check_sae(file, width=WIDTH))
        load_sae(file, width=WIDTH)


class Npz(_Dictionary):
    """A dictionary in GemmaScope's layout."""

    suffix = ".npz"

    def __init__(self) -> None:
        files = []
        for how in (np.savez, np.savez_compressed):
            file = io.BytesIO()
            how(file, **self.arrays)
            files.append(file.getvalue())
        self.seeds = [*files, sae_file(load_targets()["organism"], 0).read_bytes()[:4000]]


class Safetensors(_Dictionary):
    """The same as safetensors."""

    suffix = ".safetensors"

    def __init__(self) -> None:
        tensors = {name: torch.from_numpy(value) for name, value in self.arrays.items()}
        self.seeds = [save(tensors), save(tensors, {"format": "pt"})]


class Pickle(_Dictionary):
    """One of the `dictionary_learning` library, a file of torch's, beside its configuration."""

    suffix, name = ".pt", "ae.pt"

    def __init__(self) -> None:
        tensors = {
            "encoder.weight": torch.ones(FEATURES, WIDTH),
            "encoder.bias": torch.zeros(FEATURES),
            "decoder.weight": torch.ones(WIDTH, FEATURES),
            "bias": torch.zeros(WIDTH),
        }
        file = io.BytesIO()
        torch.save(tensors, file)
        self.seeds = [file.getvalue()]

    def put(self, data: bytes, folder: Path) -> Path:
        """Beside its configuration."""
        (folder / "config.json").write_bytes(CONFIGURATION)
        return super().put(data, folder)


class Configuration(Pickle):
    """The configuration beside it."""

    suffix, name = ".json", "config.json"

    def __init__(self) -> None:
        super().__init__()
        self._weights, self.seeds = self.seeds[0], [CONFIGURATION]

    def put(self, data: bytes, folder: Path) -> Path:
        """Beside its dictionary."""
        (folder / Pickle.name).write_bytes(self._weights)
        return Reader.put(self, data, folder)

    def read(self, file: Path) -> None:
        """The dictionary that it is of."""
        super().read(file.with_name(Pickle.name))


class Sql(Reader):
    """A query that somebody wrote, on a results file."""

    suffix = ".sql"

    def __init__(self) -> None:
        self.seeds = [path.read_bytes() for path in sorted((ROOT / "db" / "queries").glob("*.sql"))]
        self._held = ExitStack()
        folder = self._held.enter_context(tempfile.TemporaryDirectory())
        db = Path(folder) / "r.duckdb"
        with Store.open(db):
            pass
        self._store = self._held.enter_context(Store.open_to_read(db))

    def close(self) -> None:
        """Close the results file."""
        self._held.close()

    def read(self, file: Path) -> None:
        """What it asks for, and a query with it for a parameter."""
        asked = file.read_bytes().decode(errors="surrogateescape")
        _either(lambda: self._store.parameters(asked))
        _either(lambda: self._store.ask(asked, {}))
        self._store.ask("SELECT $said AS said", {"said": asked})


class Text(Reader):
    """What people are shown: nothing that a terminal or a log's reader obeys."""

    suffix = ".txt"
    seeds = (
        b'It is <b>so</b> & "thus"\n::error::no\n##[error]',
        "\u202eabc\u2066 \x1b]0;t\x07 ::error::\r\n a\0b".encode(),
    )

    def read(self, file: Path) -> None:
        """As a line, as a log and as JSON have it."""
        said = file.read_bytes().decode(errors="replace")
        line = one_line(said)
        assert not any(ord(one) < 32 or one in BIDI for one in line), "a line holds controls"
        assert json.loads(escape_json(json.dumps(said))) == said, "JSON holds another text"
        for one in disarm(line).splitlines():
            assert not one.lstrip().startswith("::"), "a line is a command to a log's reader"


class Results(Reader):
    """A results file of somebody else's."""

    suffix = ".duckdb"
    keeps = False  # one of an older version is brought up to date

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "r.duckdb"
            with Store.open(file):
                pass
            self.seeds = [file.read_bytes()]

    def read(self, file: Path) -> None:
        """Opened to be read, and its runs."""
        with Store.open_to_read(file) as store:
            store.query("SELECT run_id FROM runs")
            store.query("FROM latest_verdicts")


class Manifest(Reader):
    """The manifest of an exported run."""

    suffix, name = ".json", "manifest.json"
    seeds = (
        json.dumps(
            {
                "format": "misconception-harness run",
                "schema": 14,
                "run_id": "20260101-000000-000-voices-organism",
                "sha256": dict.fromkeys(("runs", "prompts", "units", "registrations"), "0" * 64),
            }
        ).encode(),
    )

    def read(self, file: Path) -> None:
        """As `harness import` does."""
        read_export(file.parent)


READERS: dict[str, Callable[[], Reader]] = {
    "spec": Spec,
    "prompts": Prompts,
    "csv": Csv,
    "targets": Targets,
    "npz": Npz,
    "safetensors": Safetensors,
    "pickle": Pickle,
    "configuration": Configuration,
    "sql": Sql,
    "text": Text,
    "results": Results,
    "manifest": Manifest,
}


def _either(way: Callable[[], object]) -> None:
    """One way of several to read a file, which need not be one of that kind."""
    with suppress(HarnessError):
        way()
