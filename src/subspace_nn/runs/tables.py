"""Records as rows: sorted, filtered, summarised, and written for other programs."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from subspace_nn.common.checks import is_number
from subspace_nn.common.errors import InputError
from subspace_nn.common.moments import deviation, mean
from subspace_nn.common.text import csv_cell, visible
from subspace_nn.runs.record import DONE, Record

Row = dict[str, Any]

#: Numbers of a result that describe a run and do not judge it.
DESCRIPTIVE = frozenset(
    ("D", "dim", "steps", "epochs", "test_correct", "seconds", "checkpoint_bytes")
)

#: Behind the name of a column: the standard deviation of what it is the mean of.
STD = " std"


def natural(record: Record) -> tuple[str, list[tuple[str, bool, float, str]]]:
    """The order of records that a person expects: by task and arguments, numbers by size.

    Args:
        record: as a store reads it.

    Returns:
        A key for sorting.
    """
    return record["task"], [
        (name, not is_number(value), value if is_number(value) else 0.0, str(value))
        for name, value in sorted(record["arguments"].items())
    ]


def once(records: Iterable[Record]) -> list[Record]:
    """Each run once, whatever number of folders it is in, in the order of their arguments.

    Args:
        records: as stores read them.

    Returns:
        A record of each run, of one that is done if there is one.
    """
    last = {r["id"]: r for r in sorted(records, key=lambda r: r["status"] == DONE)}
    return sorted(last.values(), key=natural)


def rows(records: Iterable[Record]) -> list[Row]:
    """Turn each run into one flat row: its arguments, and the plain values of its result.

    Args:
        records: as a store reads them.

    Returns:
        Rows in the order of their arguments: `id`, `status`, `task` if there are several, the
        arguments, numbers and texts of the result, `seconds`, `started`, and `error` if the run
        failed. Lists are left out. Of a result and an argument with the same name, the argument is
        kept.

    Example:
        >>> rows([{"id": "0a", "task": "own:train", "status": "done", "arguments": {"dim": 3},
        ...        "seconds": 1.5, "started": "2017-10-30T11:00:00+00:00", "environment": {},
        ...        "result": {"test_accuracy": 9.0, "loss_curve": [2.3]}}])[0]["test_accuracy"]
        9.0
    """
    found = once(records)
    several = _several_tasks(found)
    return [_row(record, several=several) for record in found]


def means(records: Iterable[Record]) -> list[Row]:
    """Summarise finished runs that differ in their seed alone.

    Args:
        records: as a store reads them; those that failed are left out.

    Returns:
        Rows in the order of their arguments: `task` if there are several, the arguments but the
        seed, the mean of each number that judges a run, its standard deviation (None for a single
        run) under the name with " std" behind it, and `n`, the number of runs.

    Example:
        >>> found = [{"id": f"0{seed}", "task": "own:train", "status": "done", "seconds": 1.5,
        ...           "started": "2017-10-30T11:00:00+00:00", "environment": {},
        ...           "arguments": {"dim": 3, "seed": seed}, "result": {"loss": loss}}
        ...          for seed, loss in ((0, 1.0), (1, 2.0))]
        >>> means(found)
        [{'dim': 3, 'loss': 1.5, 'loss std': 0.7071067811865476, 'n': 2}]
    """
    groups: dict[str, list[Record]] = {}
    done = [record for record in once(records) if record["status"] == DONE]
    several = _several_tasks(done)
    for record in done:
        groups.setdefault(repr((record["task"], _without_seed(record))), []).append(record)
    return [_mean(same, several=several) for same in groups.values()]


def _several_tasks(records: Iterable[Record]) -> bool:
    """Whether records are of several tasks, as those of a measurement with a baseline are."""
    return len({record["task"] for record in records}) > 1


def _row(record: Record, *, several: bool) -> Row:
    arguments = record["arguments"]
    others = {k: v for k, v in record["result"].items() if isinstance(v, str | int | float)}
    others |= {name: record[name] for name in ("seconds", "started")}
    others |= {"error": record["error"]} if "error" in record else {}
    own = {"id": record["id"], "status": record["status"]}
    own |= {"task": record["task"]} if several else {}
    known = own | arguments | own
    return known | {name: value for name, value in others.items() if name not in known}


def _mean(records: Sequence[Record], *, several: bool) -> Row:
    row: Row = {"task": records[0]["task"]} if several else {}
    row |= {n: value for n, value in _without_seed(records[0]).items() if n not in row}
    for name in records[0]["result"]:
        values: list[Any] = [record["result"].get(name) for record in records]
        if name not in row.keys() | DESCRIPTIVE and all(map(is_number, values)):
            row[name] = mean(values)
            row[name + STD] = deviation(values) if len(values) > 1 else None
    return row | {"n": len(records)}


def _without_seed(record: Record) -> Row:
    return {name: value for name, value in record["arguments"].items() if name != "seed"}


def select(table: Sequence[Row], wanted: Mapping[str, Any]) -> list[Row]:
    """Choose the rows that have the wanted values.

    Args:
        table: rows.
        wanted: for each column a value, or a list of values that all fit; compared as text.

    Returns:
        The rows that fit all.

    Raises:
        InputError: if a column is in no row.

    Example:
        >>> select([{"dim": 3}, {"dim": 10}], {"dim": [10, 30]})
        [{'dim': 10}]
    """
    columns = {name for row in table for name in row}
    if missing := [name for name in wanted if name not in columns]:
        valid = ", ".join(sorted(columns))
        raise InputError(*(f"No run has {name!r}. Choose from: {valid}." for name in missing))
    choices = {n: v if isinstance(v, list) else [v] for n, v in wanted.items()}
    return [
        row
        for row in table
        if all(str(row.get(n)) in {str(v) for v in values} for n, values in choices.items())
    ]


def varying(table: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name the columns in which rows differ, or that some rows lack.

    Args:
        table: rows.

    Returns:
        The names, in order.
    """
    columns = dict.fromkeys(name for row in table for name in row)
    return [name for name in columns if len({str(row.get(name)) for row in table}) > 1]


def to_csv(table: Sequence[Row]) -> bytes:
    """Write rows as the bytes of a CSV file.

    A text or a name that a spreadsheet would take for a formula gets an apostrophe in front.

    Args:
        table: rows.

    Returns:
        The whole file, UTF-8.
    """
    names = list(dict.fromkeys(name for row in table for name in row))
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(map(csv_cell, names))
    writer.writerows([csv_cell(row.get(name)) for name in names] for row in table)
    return buffer.getvalue().encode()


def to_parquet(table: Sequence[Row]) -> bytes:
    """Write rows as the bytes of a Parquet file.

    A column that is not of numbers alone (`dim` with "full"), or of large ones, becomes text.

    Args:
        table: rows.

    Returns:
        The whole file.

    Raises:
        InputError: if pyarrow is not installed.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415  # an extra
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise InputError("Parquet needs pyarrow: pip install 'subspace-nn[parquet]'.") from None
    names = dict.fromkeys(name for row in table for name in row)
    columns = {name: _one_type([row.get(name) for row in table]) for name in names}
    buffer = pa.BufferOutputStream()
    parquet.write_table(pa.table(columns), buffer)
    return buffer.getvalue().to_pybytes()


def _one_type(values: list[Any]) -> list[Any]:
    known = [value for value in values if value is not None]
    numbers = all(is_number(value) and abs(value) < 2**63 for value in known)
    if numbers or all(isinstance(value, bool) for value in known):
        return values
    return [None if value is None else visible(str(value)) for value in values]
