"""The results file: DuckDB, one writer, any number of readers. Its SQL lies in `db/`."""

from harness.store.rows import WAIT as WAIT
from harness.store.rows import Store as Store
from harness.store.schema import VERSION as VERSION
