"""Records on disk."""

import errno
import os

import pytest

from subspace_nn.common.errors import InputError
from subspace_nn.runs.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "records")


def test_round_trip_ordered_by_id(store):
    for name in ("b", "a"):
        store.write({"id": name, "status": "done", "x": [1.5, None]})
    assert [r["id"] for r in store.read()] == ["a", "b"]
    assert store.read()[0]["x"] == [1.5, None]


def test_an_empty_folder_has_no_records(store):
    assert store.read() == []
    assert store.finished() == set()
    assert store.marks() == {}


def test_only_done_runs_are_finished(store):
    store.write({"id": "a", "status": "failed"})
    store.write({"id": "b", "status": "done"})
    assert store.finished() == {"b"}
    store.write({"id": "a", "status": "done"})
    assert store.finished() == {"a", "b"}


def test_keep_writes_only_what_is_not_there(store, monkeypatch):
    store.write({"id": "a", "status": "failed"})
    store.keep({"id": "a", "status": "done"})
    store.keep({"id": "b", "status": "done"})
    assert store.finished() == {"a", "b"}
    monkeypatch.setattr(Store, "write", None)
    store.keep({"id": "a", "status": "done"})


def test_marks_tell_the_living_from_the_dead(store):
    with store.running("alive"):
        (store.folder / ".running" / "dead").write_text(f"{os.uname().nodename} 99999999")
        (store.folder / ".running" / "elsewhere").write_text("another-host 1")
        assert store.marks() == {"alive": True, "dead": False, "elsewhere": True}
        store.unmark("dead")
        assert store.marks() == {"alive": True, "elsewhere": True}
    assert "alive" not in store.marks()
    store.unmark("nothing")


def test_a_full_disk_names_the_run_and_leaves_nothing(store, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store.write({"id": "before", "status": "done"})
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"The record of run 0a cannot be written .*No space left"):
        store.write({"id": "0a", "status": "done"})
    assert [p.name for p in store.folder.iterdir()] == ["before.json"]


@pytest.mark.parametrize("content", [
    "", "{", "[]", '{"id": "other", "status": "done"}', '{"id": "b"}',
    '{"id": "b", "status": "done", "result": null}',
])  # fmt: skip
def test_a_file_that_is_no_record_is_named(store, content):
    store.write({"id": "a", "status": "done"})
    (store.folder / "b.json").write_text(content)
    with pytest.raises(InputError, match=r"b\.json is no record"):
        store.read()
