"""Records on disk."""

import errno
import json
import os
import threading
from pathlib import Path

import pytest

from subspace_nn.common.errors import InputError
from subspace_nn.runs.run import Run
from subspace_nn.runs.store import Store, stores
from tests import hostile


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "records")


def record(seed, status="done", **result):
    run = Run("tests.toy:quick", {"dim": 1, "seed": seed})
    return run.failed("broke") | {"status": status, "result": result}


A, B = sorted((record(seed) for seed in (0, 1)), key=lambda r: r["id"])


def test_round_trip_ordered_by_id(store):
    for one in (B, A):
        store.write(one)
    assert store.read() == [A, B]
    assert store.read().problems == []


def test_an_empty_folder_has_no_records(store):
    assert store.read() == []
    assert store.finished() == set()
    assert store.claims() == {}


def test_only_done_runs_are_finished(store):
    store.write(A | {"status": "failed"})
    store.write(B)
    assert store.finished() == {B["id"]}
    store.write(A)
    assert store.finished() == {A["id"], B["id"]}


def test_keep_writes_only_what_is_not_there(store, monkeypatch):
    store.write(A | {"status": "failed"})
    store.keep(A)
    store.keep(B)
    assert store.finished() == {A["id"], B["id"]}
    monkeypatch.setattr(Store, "write", None)
    store.keep(A)


def test_claims_show_the_living_and_the_dead(store):
    alive, dead, elsewhere, odd = (f"{n:016x}" for n in range(4))
    with store.claim(alive) as mine:
        assert mine
        folder = store.folder / ".running"
        machine = (folder / alive).read_text().split()[0]
        (folder / dead).write_text(f"{machine} 99999999 1")
        (folder / elsewhere).write_text("another-host 1 1")
        (folder / odd).write_bytes(b"\xff" * 5000)
        (folder / "note").write_text("not a claim")
        os.mkfifo(folder / f"{9:016x}")
        assert store.claims() == {
            alive: True, dead: False, elsewhere: True, odd: True, f"{9:016x}": False,
        }  # fmt: skip
        store.unclaim(dead)
        with store.claim(alive) as twice:
            assert not twice
    assert alive not in store.claims()
    store.unclaim(alive)


def test_a_full_disk_names_the_run_and_leaves_nothing(store, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store.write(A)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=rf"The record of run {B['id']} cannot be .*No space left"):
        store.write(B)
    assert [p.name for p in store.folder.iterdir()] == [f"{A['id']}.json"]


def test_a_thousand_hostile_records_are_left_out_or_fit(store):
    store.write(A)
    honest = Run.of("tests.toy:quick", {"dim": 3}).execute("subspace-nn sweep dim=3")
    names = set()
    for name, content in hostile.files(honest, 1000):
        (store.folder / name).write_bytes(content)
        names.add(name)
    read = store.read()
    assert A in read
    assert len(read) + len(read.problems) == len(names | {f"{A['id']}.json"})
    assert len(read.problems) > 300
    assert json.dumps(read.problems).isascii()
    assert all(
        name in "\n".join(read.problems) for name in names - {f"{r['id']}.json" for r in read}
    )


def test_what_is_no_plain_file_is_named_and_not_waited_for(store):
    store.write(A)
    os.mkfifo(store.folder / "pipe.json")
    (store.folder / "zero.json").symlink_to("/dev/zero")
    (store.folder / "folder.json").mkdir()
    (store.folder / "gone.json").symlink_to("nowhere")
    read = store.read()
    assert read == [A]
    assert len(read.problems) == 4


def test_a_record_under_another_name_is_named(store):
    store.write(A)
    (store.folder / f"{A['id']}.json").rename(store.folder / "other.json")
    assert store.read() == []
    (problem,) = store.read().problems
    assert f"its name must be {A['id']}.json" in problem


def test_a_folder_that_cannot_be_read_is_an_error(store, monkeypatch):
    def refuse(_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    store.write(A)
    monkeypatch.setattr(os, "scandir", refuse)  # the tests may run as root, who may read all
    for read in (store.read, store.finished, lambda: stores([store.folder])):
        with pytest.raises(InputError, match="cannot be read: Permission denied"):
            read()


def test_a_folder_that_links_to_itself_is_read_once(tmp_path):
    for name in ("a", "deep/b"):
        Store(tmp_path / name).write(A)
    (tmp_path / "a" / "again").symlink_to(tmp_path / "a")
    (tmp_path / "deep" / "up").symlink_to(tmp_path)
    found = stores([tmp_path, tmp_path / "a", tmp_path / "deep" / "up"])
    assert [store.folder.name for store in found] == ["a", "b"]


def test_folders_without_records_are_named_together(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError) as caught:
        stores([tmp_path / "missing", tmp_path / "empty", Path(__file__)])
    first, second, third = caught.value.problems
    assert "missing does not exist" in first
    assert "No records in" in second
    assert third.endswith("is a file: expected a folder of records.")


def test_packed_records_are_read_as_if_they_were_files(store):
    for one in (A, B):
        store.write(one | {"command": "subspace-nn sweep"})
    before = store.read()
    path, number = store.pack()
    assert (path.name, number) == ("records.jsonl", 2)
    assert store.read() == before
    for file in store.folder.glob("*.json"):
        file.unlink()
    assert store.read() == before
    assert store.finished() == {A["id"], B["id"]}
    store.folder.rmdir()
    for named in (path.parent, store.folder, path):
        (found,) = stores([named])
        assert found.read() == before
    content = path.read_bytes()
    assert store.pack()[0].read_bytes() == content


def test_a_file_counts_more_than_a_packed_record_unless_it_failed(store):
    store.write(A)
    store.write(B | {"status": "failed"})
    store.pack()
    store.write(A | {"status": "failed"})
    store.write(B)
    assert [r["status"] for r in store.read()] == ["done", "done"]
    store.write(A | {"seconds": 7.0})
    assert store.read()[0]["seconds"] == 7.0


def test_packing_shortens_loss_curves_and_nothing_else(store):
    store.write(record(5, loss_curve=[float(i) for i in range(100)], evaluations=[{"epoch": 1}]))
    store.write(record(6, loss_curve=["a"] * 30))
    store.pack()
    head, *lines = store.packed.read_text().splitlines()
    assert len(json.loads(head)["environment"]) == 1
    results = [json.loads(line)["result"] for line in lines]
    assert results[0]["loss_curve"] == [2.0 + 5 * i for i in range(20)]
    assert results[0]["evaluations"] == [{"epoch": 1}]
    assert results[1]["loss_curve"] == ["a"] * 30


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "x"}', "\x00", "[" * 100_000])
def test_a_packed_file_that_is_none_is_named(store, content):
    store.write(A)
    store.packed.write_text(content)
    read = store.read()
    assert read == [A]
    (problem,) = read.problems
    assert "records.jsonl" in problem


def test_a_bad_line_of_a_packed_file_costs_that_line(store):
    for one in (A, B):
        store.write(one)
    store.pack()
    head, first, second = store.packed.read_text().splitlines()
    for file in store.folder.glob("*.json"):
        file.unlink()
    for bad in (first[:-3], first.replace('"done"', '"dnoe"'), "[]", '{"environment": 99}'):
        store.packed.write_text(f"{head}\n{bad}\n{second}")
        read = store.read()
        assert len(read) == 1
        (problem,) = read.problems
        assert "line 2" in problem


def test_a_run_on_two_lines_of_a_packed_file_is_named(store):
    store.write(A)
    store.pack()
    text = store.packed.read_text()
    other = text.splitlines()[1].replace('"seconds":', '"seconds":1')
    store.packed.write_text(f"{text}{other}\n")
    for file in store.folder.glob("*.json"):
        file.unlink()
    read = store.read()
    assert [record["id"] for record in read] == [A["id"]]
    assert read.problems == [f"{store.packed} has run {A['id']} twice; the last line counts."]
    with pytest.raises(InputError, match="twice"):
        store.pack()


def test_nothing_is_packed_when_a_file_is_no_record(store):
    store.write(A)
    (store.folder / "broken.json").write_text("{")
    with pytest.raises(InputError, match=r"broken\.json is no record"):
        store.pack()
    assert not store.packed.exists()


def test_many_writers_lose_nothing(store):
    records = [record(seed) for seed in range(64)]
    threads = [threading.Thread(target=store.write, args=(one,)) for one in records]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.read() == sorted(records, key=lambda r: r["id"])
