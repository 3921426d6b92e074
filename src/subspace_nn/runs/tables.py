"""Records as rows: filtered, and written for other programs."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from subspace_nn.common.errors import InputError
from subspace_nn.common.text import csv_cell

Row = dict[str, Any]


def rows(records: Sequence[Mapping[str, Any]]) -> list[Row]:
    """One flat row for each record: its arguments and the plain values of its result.

    Args:
        records: as a store reads them.

    Returns:
        Rows with `id`, `status`, the arguments, the result's numbers and texts, `seconds`,
        `started`, and `error` if the run failed. Lists are left out.

    Example:
        >>> rows([{"id": "0a", "status": "done", "arguments": {"dim": 3}, "seconds": 1.5,
        ...        "started": "2017-10-30T11:00:00+00:00", "result": {"test_accuracy": 9.0,
        ...        "loss_curve": [2.3]}}])[0]["test_accuracy"]
        9.0
    """
    return [
        {"id": r["id"], "status": r["status"]}
        | dict(r["arguments"])
        | {k: v for k, v in r.get("result", {}).items() if isinstance(v, str | int | float)}
        | {name: r[name] for name in ("seconds", "started", "error") if name in r}
        for r in records
    ]


def select(table: Sequence[Row], wanted: Mapping[str, Any]) -> list[Row]:
    """The rows that have the wanted values.

    Args:
        table: rows.
        wanted: a value, or a list of which any will do, by column; values compare as text.

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
        raise InputError(*(f"No run has {name!r}; there are: {valid}." for name in missing))
    choices = {n: v if isinstance(v, list) else [v] for n, v in wanted.items()}
    return [
        row
        for row in table
        if all(str(row.get(n)) in {str(v) for v in values} for n, values in choices.items())
    ]


def varying(table: Sequence[Row]) -> list[str]:
    """The columns, in order, in which rows differ or that some lack.

    Args:
        table: rows.

    Returns:
        Names.
    """
    columns = dict.fromkeys(name for row in table for name in row)
    return [name for name in columns if len({str(row.get(name)) for row in table}) > 1]


def to_csv(table: Sequence[Row]) -> bytes:
    """Rows as the bytes of a CSV file.

    A text that a spreadsheet would take for a formula gets an apostrophe in front.

    Args:
        table: rows.

    Returns:
        The whole file, UTF-8.
    """
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(dict.fromkeys(name for row in table for name in row)))
    writer.writeheader()
    writer.writerows({name: csv_cell(value) for name, value in row.items()} for row in table)
    return buffer.getvalue().encode()


def to_parquet(table: Sequence[Row]) -> bytes:
    """Rows as the bytes of a Parquet file.

    A column in which numbers and texts meet (`dim` with "full") becomes text.

    Args:
        table: rows.

    Returns:
        The whole file.

    Raises:
        InputError: if pyarrow is not installed.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415  # an extra: most need no Parquet
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise InputError("Parquet needs pyarrow: pip install 'subspace-nn[parquet]'.") from None
    names = dict.fromkeys(name for row in table for name in row)
    columns = {name: _one_type([row.get(name) for row in table]) for name in names}
    buffer = pa.BufferOutputStream()
    parquet.write_table(pa.table(columns), buffer)
    return buffer.getvalue().to_pybytes()


def _one_type(values: list[Any]) -> list[Any]:
    if any(isinstance(v, str) for v in values):
        return [None if v is None else str(v) for v in values]
    return values
