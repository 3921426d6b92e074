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
        "task": "own:train",
        "status": "done",
        "arguments": {"model": "fc", "dim": dim},
        "seconds": 1.5,
        "started": "2017-10-30T11:00:00+00:00",
        "environment": {},
        "result": {"test_accuracy": 90.0, "loss_curve": [1.0]},
        **extra,
    }


RECORDS = [
    record("a", 3),
    record("b", "full"),
    {**record("c", 10), "status": "failed", "error": "broke", "result": {}},
]


def test_rows_are_flat_and_in_the_order_of_their_arguments():
    first, failed, _ = tables.rows(RECORDS[::-1])
    assert [first["dim"], failed["dim"]] == [3, 10]
    assert first["test_accuracy"] == 90.0
    assert "loss_curve" not in first
    assert failed["error"] == "broke"


def test_an_argument_is_not_hidden_by_a_result_of_its_name():
    (row,) = tables.rows([record("a", "full", result={"dim": 21_840, "model": 1, "id": "x"})])
    assert (row["dim"], row["model"], row["id"]) == ("full", "fc", "a")


def test_means_are_over_seeds_of_finished_runs():
    records = [
        record(f"{dim}{seed}", dim, arguments={"dim": dim, "seed": seed},
               result={"test_accuracy": 90.0 + seed, "D": 9, "note": "x", "odd": [1]})
        for dim in (10, 3) for seed in (0, 1)
    ]  # fmt: skip
    records.append(record("c", 3, arguments={"dim": 3, "seed": 2}) | {"status": "failed"})
    assert tables.means(records) == [
        {"dim": dim, "test_accuracy": 90.5, "test_accuracy std": 0.5**0.5, "n": 2}
        for dim in (3, 10)
    ]
    assert tables.means([records[0]])[0]["test_accuracy std"] is None
    assert tables.means([]) == []


def test_a_run_in_two_folders_counts_once_and_as_done_if_one_is():
    failed = record("a", 3, result={}) | {"status": "failed", "error": "broke"}
    found = [RECORDS[0], failed, RECORDS[0]]
    assert [row["status"] for row in tables.rows(found)] == ["done"]
    assert [row["n"] for row in tables.means(found)] == [1]


@pytest.mark.parametrize(("wanted", "ids"), [
    ({}, "acb"), ({"dim": 3}, "a"), ({"dim": [3, "full"]}, "ab"), ({"dim": "3"}, "a"),
    ({"model": "fc", "status": "failed"}, "c"), ({"dim": 7}, ""),
])  # fmt: skip
def test_select(wanted, ids):
    assert [row["id"] for row in tables.select(tables.rows(RECORDS), wanted)] == list(ids)


def test_select_knows_its_columns():
    with pytest.raises(InputError, match=r"No run has 'dmi'\. Choose from: dim, error"):
        tables.select(tables.rows(RECORDS), {"dmi": 3})


def test_varying_columns():
    assert tables.varying(tables.rows(RECORDS[:2])) == ["id", "dim"]


def test_csv_round_trip():
    content = tables.to_csv(tables.rows(RECORDS)).decode()
    read = list(csv.DictReader(io.StringIO(content)))
    assert [row["dim"] for row in read] == ["3", "10", "full"]
    assert read[1]["error"] == "broke"


def test_csv_commands_no_spreadsheet_and_no_terminal():
    names = ["=1+1", "@x", "\x1b[2J", "\x00", "\u202e"]
    content = tables.to_csv([dict.fromkeys(names, 1.0), {"=1+1": "=2"}]).decode()
    header, first, second = csv.reader(io.StringIO(content))
    assert header == ["'=1+1", "'@x", r"\x1b[2J", r"\x00", r"\u202e"]
    assert (first, second) == (["1.0"] * 5, ["'=2", "", "", "", ""])


@pytest.mark.parametrize("top", [1e308, 5e-324])
def test_means_of_any_floats(top):
    found = [record(str(s), 3, arguments={"seed": s}, result={"loss": top}) for s in range(3)]
    assert tables.means(found) == [{"loss": top, "loss std": 0.0, "n": 3}]


def test_parquet_round_trip():
    table = parquet.read_table(BufferReader(tables.to_parquet(tables.rows(RECORDS))))
    assert table["dim"].to_pylist() == ["3", "10", "full"]
    assert table["test_accuracy"].to_pylist() == [90.0, None, 90.0]


@pytest.mark.parametrize("values", [
    [1, "a"], [[1], 2], [{"a": 1}, None], [2**64, 1], [True, 1], [True, False], [1.5, 2],
    [None, None],
])  # fmt: skip
def test_parquet_holds_any_column(values):
    content = tables.to_parquet([{"x": value} for value in values])
    assert parquet.read_table(BufferReader(content)).num_rows == 2


def test_the_id_is_the_record_s_whatever_its_arguments_are_named():
    (row,) = tables.rows([record("a", 3, arguments={"id": "x", "status": "y", "seconds": 7})])
    assert (row["id"], row["status"], row["seconds"]) == ("a", "done", 7)


def test_rows_of_several_tasks_name_them():
    """As those of a measurement with a baseline."""
    records = [record("a", 3), record("b", 3, task="own:probe", arguments={"seed": 1})]
    found = [(row["id"], row["task"]) for row in tables.rows(records)]
    assert found == [("b", "own:probe"), ("a", "own:train")]
    assert [row["task"] for row in tables.means(records)] == ["own:probe", "own:train"]
    assert "task" not in tables.rows(records[:1])[0]
