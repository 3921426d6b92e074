"""Records as rows."""

import csv
import io

import pytest
from pyarrow import BufferReader, parquet

from subspace_nn.common.errors import InputError
from subspace_nn.runs import tables


def record(name, dim, **extra):
    return {
        "id": name,
        "status": "done",
        "arguments": {"model": "fc", "dim": dim},
        "seconds": 1.5,
        "started": "2017-10-30T11:00:00+00:00",
        "result": {"test_accuracy": 90.0, "loss_curve": [1.0]},
        **extra,
    }


RECORDS = [
    record("a", 3),
    record("b", "full"),
    {**record("c", 10), "status": "failed", "error": "broke", "result": {}},
]


def test_rows_are_flat():
    first, _, failed = tables.rows(RECORDS)
    assert first["dim"] == 3
    assert first["test_accuracy"] == 90.0
    assert "loss_curve" not in first
    assert failed["error"] == "broke"


@pytest.mark.parametrize(("wanted", "ids"), [
    ({}, "abc"), ({"dim": 3}, "a"), ({"dim": [3, "full"]}, "ab"), ({"dim": "3"}, "a"),
    ({"model": "fc", "status": "failed"}, "c"), ({"dim": 7}, ""),
])  # fmt: skip
def test_select(wanted, ids):
    assert [row["id"] for row in tables.select(tables.rows(RECORDS), wanted)] == list(ids)


def test_select_knows_its_columns():
    with pytest.raises(InputError, match="No run has 'dmi'; there are: dim, error"):
        tables.select(tables.rows(RECORDS), {"dmi": 3})


def test_varying_columns():
    assert tables.varying(tables.rows(RECORDS)[:2]) == ["id", "dim"]


def test_csv_round_trip():
    content = tables.to_csv(tables.rows(RECORDS)).decode()
    read = list(csv.DictReader(io.StringIO(content)))
    assert [row["dim"] for row in read] == ["3", "full", "10"]
    assert read[2]["error"] == "broke"


def test_parquet_round_trip():
    table = parquet.read_table(BufferReader(tables.to_parquet(tables.rows(RECORDS))))
    assert table["dim"].to_pylist() == ["3", "full", "10"]
    assert table["test_accuracy"].to_pylist() == [90.0, 90.0, None]
