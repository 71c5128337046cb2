"""The results file: DuckDB, one writer, any number of readers. Its SQL lies in `db/`."""

from harness.store.funnel import Address as Address
from harness.store.funnel import RemoteStore as RemoteStore
from harness.store.funnel import served as served
from harness.store.rows import WAIT as WAIT
from harness.store.rows import Store as Store
from harness.store.schema import VERSION as VERSION
