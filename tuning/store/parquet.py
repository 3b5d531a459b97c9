"""A trial's record as a row of Parquet and back: what may stand in it, and how it is read.

A value that does not apply is null. NaN and infinities are refused, so that no reader ever has to
tell a missing number from a broken one; times are UTC with microseconds.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tuning.store.columns import COUNTS, REQUIRED, TIMES, schema_of
from tuning.store.info import SCHEMA_VERSION, KnobKind
from tuning.store.shards import NUMBERS
from tuning.trial.metric import METRIC
from tuning.trial.recipe import KNOB, Recipe, flat
from tuning.trial.trial import (
    CONFIRMATION,
    FIRST_FRESH,
    ORIGINS,
    REPLICATE,
    STATES,
    CurvePoint,
    Decision,
    TrialRecord,
)

if TYPE_CHECKING:
    import pandas as pd

_VERSION_KEY = b"schema_version"
_KNOB_VALUES: dict[str, type | tuple[type, ...]] = {
    "float": (int, float),
    "int": int,
    "bool": bool,
    "str": str,
}


class NotARecord(ValueError):  # noqa: N818 - it says what the file is
    """A Parquet file that is not one of this run's; the message says what is wrong with it."""


class Footer(NamedTuple):
    """What a file's footer says: the lowest and the highest number of its trials, the number of
    rows, and whether it lacks columns that there are now.
    """

    low: int
    high: int
    rows: int
    older: bool


class RecordFormat:
    """The Parquet format of one run's records; the knobs' and metrics' columns differ between runs.

    Every method that takes records raises ValueError, naming all that is wrong, where a record
    cannot be a row.
    """

    def __init__(
        self,
        knob_columns: Mapping[str, KnobKind],
        first_seed: int = 0,
        metrics: Sequence[str] = (),
    ) -> None:
        self.knob_columns = dict(knob_columns)
        self.metrics = tuple(metrics)
        self._first_fresh = first_seed + FIRST_FRESH
        self.schema = schema_of(self.knob_columns, self.metrics)
        self.columns: tuple[str, ...] = tuple(self.schema.names)

    def empty(self, columns: Iterable[str] | None = None) -> Any:
        """A table of no rows."""
        names = self.columns if columns is None else columns
        return pa.schema([self.schema.field(name) for name in names]).empty_table()

    def to_table(self, records: Sequence[TrialRecord]) -> Any:
        """The records as an Arrow table of ``schema``."""
        if faults := [fault for record in records for fault in self.faults(record)]:
            raise ValueError("; ".join(faults))
        try:
            return pa.Table.from_pylist(
                [self._row(record) for record in records], schema=self.schema
            )
        except (OverflowError, pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ValueError(f"a record's values must fit their columns, but got {error}") from None

    def to_bytes(self, table: Any) -> bytes:
        """The content of a Parquet file; one row is stored plainly, many are compressed."""
        buffer = io.BytesIO()
        many = table.num_rows > 1
        with pq.ParquetWriter(
            buffer,
            self.schema,
            compression="zstd" if many else "none",
            # A dictionary of one value is larger than the value.
            use_dictionary=many,
            write_statistics=["number"],
            write_page_checksum=True,
            store_schema=False,  # Arrow's own copy of the schema would be half of a small file
        ) as writer:
            writer.add_key_value_metadata({_VERSION_KEY: str(SCHEMA_VERSION).encode()})
            writer.write_table(table)
        return buffer.getvalue()

    def read(self, path: Path, columns: Iterable[str] | None = None) -> Any:
        """The Arrow table of a file, its columns as in ``schema``; one an older file lacks is null.

        Raises:
            NotARecord: it is no Parquet file, a torn one, or one whose columns are not this run's.
            OSError: it cannot be opened or read, which says nothing about what is in it.
        """
        wanted = self.columns if columns is None else tuple(columns)
        with _parsing(path) as file:
            schema = self._checked_schema(file)
            there = set(schema.names)
            present = [name for name in wanted if name in there]
            # What an origin means in older files is told by the seed.
            needed = [*present, *({"seed"} - set(present) if "origin" in present else ())]
            table = file.read(needed, use_threads=file.metadata.num_rows > 1)
            table = self._with_confirmations(table).select(present)
            return self._conform(table, wanted)

    def footer(self, path: Path) -> Footer:
        """What a file's footer says, without reading its rows; raises as ``read``."""
        with _parsing(path) as file:
            schema, metadata = self._checked_schema(file), file.metadata
            index = schema.names.index("number")
            parts = [
                metadata.row_group(i).column(index).statistics
                for i in range(metadata.num_row_groups)
            ]
            if not parts or any(part is None or not part.has_min_max for part in parts):
                raise NotARecord("foreign: it has no statistics of the column number")
            low, high = min(p.min for p in parts), max(p.max for p in parts)
            older = not set(self.columns) <= set(schema.names)
            return Footer(low, high, metadata.num_rows, older)

    def to_records(self, table: Any) -> list[TrialRecord]:
        """The rows of a table that has every column."""
        return [self._record(row) for row in table.to_pylist()]

    def to_frame(self, table: Any) -> pd.DataFrame:
        """The table for pandas, with nullable integers and booleans, null floats as NaN, and times
        in UTC.
        """
        import pandas as pd

        kinds = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
        frame: pd.DataFrame = table.to_pandas(types_mapper=kinds.get, self_destruct=True)
        counts = {name: "int64" for name in COUNTS if name in frame.columns}
        return frame.astype(counts)

    def faults(self, record: TrialRecord) -> list[str]:
        """Everything that keeps the record from being a row."""
        faults = [
            f"trial {record.number}: {name} must be finite or None, but got {value}"
            for name, value in _floats(record)
            if not math.isfinite(value)
        ]
        faults += [
            f"trial {record.number}: {name} must have a time zone, but got {moment!r}"
            for name in TIMES
            if (moment := getattr(record, name)).tzinfo is None
        ]
        rules = {
            f"0 <= number < {NUMBERS} must hold, but got {record.number}": 0
            <= record.number
            < NUMBERS,
            f"state must be one of {list(STATES)}, but got {record.state!r}": record.state
            in STATES,
            f"origin must be one of {list(ORIGINS)}, but got {record.origin!r}": record.origin
            in ORIGINS,
        }
        faults += [f"trial {record.number}: {rule}" for rule, holds in rules.items() if not holds]
        faults += [
            f"metric {name!r} must be one of the run's {list(self.metrics)}"
            for name in record.metrics
            if name not in self.metrics
        ]
        return faults + [
            f for name, value in record.recipe.knobs.items() for f in self._knob_faults(name, value)
        ]

    def _knob_faults(self, name: str, value: object) -> list[str]:
        kind = self.knob_columns.get(name)
        if kind is None:
            return [f"knob {name!r} must be one of the run's {list(self.knob_columns)}"]
        typed = isinstance(value, _KNOB_VALUES[kind]) and (
            kind == "bool" or not isinstance(value, bool)
        )
        exact = typed and (
            kind != "float" or not isinstance(value, int) or _as_float(value) == value
        )
        return [] if exact else [f"knob {name} must be a {kind}, but got {value!r}"]

    def _row(self, record: TrialRecord) -> dict[str, Any]:
        row = dict(vars(record))
        row = flat(row)
        row |= {KNOB + name: value for name, value in row.pop("knobs").items()}
        row |= {METRIC + name: value for name, value in row.pop("metrics").items()}
        row["curve"] = [vars(point) for point in record.curve]
        row["decisions"] = [vars(decision) for decision in record.decisions]
        return row | {name: _utc(row[name]) for name in TIMES}

    def _record(self, row: dict[str, Any]) -> TrialRecord:
        knobs = {name: row.pop(KNOB + name) for name in self.knob_columns}
        metrics = {name: row.pop(METRIC + name) for name in self.metrics}
        row["metrics"] = {name: value for name, value in metrics.items() if value is not None}
        curve = tuple(CurvePoint(**point) for point in row.pop("curve"))
        decisions = tuple(Decision(**decision) for decision in row.pop("decisions"))
        row |= {name: _utc(row[name]) for name in TIMES}
        held = {name: value for name, value in knobs.items() if value is not None}
        recipe = Recipe(row.pop("policy"), row.pop("horizon"), held)
        return TrialRecord(**row, recipe=recipe, curve=curve, decisions=decisions)

    def _checked_schema(self, file: Any) -> Any:
        schema = file.schema_arrow
        version = int((schema.metadata or {}).get(_VERSION_KEY, b"0"))
        if not 1 <= version <= SCHEMA_VERSION:
            raise NotARecord(
                f"foreign: its schema_version is {version or 'missing'}, not {SCHEMA_VERSION}"
            )
        if schema == self.schema:
            return schema
        differing = [
            f.name
            for f in schema
            if f.name not in self.columns or f.type != self.schema.field(f.name).type
        ]
        missing = [name for name in REQUIRED if name not in schema.names]
        if differing or missing:
            raise NotARecord(
                f"foreign: unknown or differing columns {differing}, missing columns {missing}"
            )
        return schema

    def _with_confirmations(self, table: Any) -> Any:
        """The table with the origin of a confirmation's runs corrected. Older versions recorded
        them as replicates, told apart by their fresh seeds alone.
        """
        if "origin" not in table.column_names or REPLICATE not in table["origin"].to_pylist():
            return table
        fresh = pc.greater_equal(table["seed"], self._first_fresh)
        old = pc.and_(pc.equal(table["origin"], REPLICATE), fresh)
        place = table.column_names.index("origin")
        named = pc.if_else(old, CONFIRMATION, table["origin"])
        return table.set_column(place, table.schema.field("origin"), named)

    def _conform(self, table: Any, wanted: Sequence[str]) -> Any:
        schema = (
            self.schema
            if wanted == self.columns
            else pa.schema([self.schema.field(name) for name in wanted])
        )
        if table.schema == schema:
            return table
        nulls = {name: pa.nulls(table.num_rows, schema.field(name).type) for name in wanted}
        present = dict(zip(table.column_names, table.columns, strict=True))
        return pa.table([(nulls | present)[name] for name in wanted], schema=schema)


@contextlib.contextmanager
def _parsing(path: Path) -> Iterator[Any]:
    """The Parquet file at ``path``; any error that comes from its content is raised as
    NotARecord.
    """
    with pa.OSFile(str(path)) as source:
        try:
            with pq.ParquetFile(source, page_checksum_verification=True) as file:
                yield file
        except NotARecord:
            raise
        except Exception as error:  # a damaged footer makes its reader raise almost anything
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the file system's own
            raise NotARecord(f"torn: {error}") from None


def _floats(record: TrialRecord) -> list[tuple[str, float]]:
    """Every float of the record, with its name."""
    named: list[tuple[str, Any]] = [
        *vars(record).items(),
        ("horizon", record.recipe.horizon),
        *record.recipe.knobs.items(),
        *((METRIC + name, value) for name, value in record.metrics.items()),
    ]
    named += [
        (f"curve[{i}].{n}", v)
        for i, point in enumerate(record.curve)
        for n, v in vars(point).items()
    ]
    return [(name, value) for name, value in named if isinstance(value, float)]


def _as_float(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except OverflowError:
        return math.nan


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)
