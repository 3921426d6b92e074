"""Records on disk: one atomic JSON file a run, in a folder."""

import json
import os
import socket
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from subspace_nn.common.atomic import write_atomically
from subspace_nn.common.errors import InputError
from subspace_nn.runs.run import DONE, FAILED

_RUNNING = ".running"


class Store:
    """A folder of records, named by the ids of their runs.

    Any number of processes may write at once: each record is its own file, whole or not there.

    Args:
        folder: made when the first record is written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store = Store(folder)
        ...     store.write({"id": "0a", "status": "done"})
        ...     store.finished()
        {'0a'}
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def write(self, record: Mapping[str, Any]) -> None:
        """Write a record, in place of an earlier one of the same run.

        Args:
            record: with an `id`; ready for JSON.

        Raises:
            InputError: if it cannot be written (full disk, no permission); the message names the
                run, and no part of the record is left.
        """
        path = self.folder / f"{record['id']}.json"
        text = json.dumps(record, indent=1, sort_keys=True, allow_nan=False) + "\n"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text.encode())
        except OSError as error:
            raise InputError(
                f"The record of run {record['id']} cannot be written to {path}: {error.strerror}."
            ) from None

    def keep(self, record: Mapping[str, Any]) -> None:
        """Write a record unless it is there.

        Args:
            record: as for `write`.

        Raises:
            InputError: if it cannot be written.
        """
        try:
            there = json.loads((self.folder / f"{record['id']}.json").read_bytes())
        except (OSError, ValueError):
            there = None
        if there != record:
            self.write(record)

    def read(self) -> list[dict[str, Any]]:
        """All records, ordered by id.

        Returns:
            The records.

        Raises:
            InputError: if a file is no record; all such files are named.
        """
        records: list[dict[str, Any]] = []
        problems: list[str] = []
        for path in sorted(self.folder.glob("*.json")):
            try:
                record = json.loads(path.read_bytes())
            except ValueError as error:
                problems.append(f"{path} is no record: {error}.")
                continue
            if _is_record(record, path.stem):
                records.append(record)
            else:
                problems.append(
                    f"{path} is no record: expected the id {path.stem!r} in it, a status, and a "
                    "result by names if that is done."
                )
        if problems:
            raise InputError(*problems)
        return records

    @contextmanager
    def running(self, run_id: str) -> Generator[None]:
        """Mark a run as under way in this process, for others to see.

        Args:
            run_id: its id.

        Yields:
            Nothing.

        Raises:
            InputError: if the folder cannot be written.
        """
        mark = self.folder / _RUNNING / run_id
        try:
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.write_text(f"{socket.gethostname()} {os.getpid()}", encoding="utf-8")
        except OSError as error:
            raise InputError(f"Run {run_id} cannot begin: {mark}: {error.strerror}.") from None
        try:
            yield
        finally:
            mark.unlink(missing_ok=True)

    def unmark(self, run_id: str) -> None:
        """Forget that a run was begun: its process is known to be dead.

        Args:
            run_id: its id.
        """
        (self.folder / _RUNNING / run_id).unlink(missing_ok=True)

    def marks(self) -> dict[str, bool]:
        """The runs that were begun and not ended.

        Returns:
            By id whether the process that began it is alive, as far as can be seen from here: on
            another machine it is taken to be.
        """
        found: dict[str, bool] = {}
        for mark in (self.folder / _RUNNING).glob("*"):
            try:
                host, _, pid = mark.read_text(encoding="utf-8").partition(" ")
            except OSError:  # it has just ended
                continue
            found[mark.name] = host != socket.gethostname() or _is_alive(pid)
        return found

    def finished(self) -> set[str]:
        """Ids of the runs that are done; failed ones are not."""
        return {record["id"] for record in self.read() if record["status"] == DONE}


def _is_record(content: Any, name: str) -> bool:
    return (
        isinstance(content, dict)
        and content.get("id") == name
        and content.get("status") in {DONE, FAILED}
        and isinstance(content.get("result", {}), dict)
    )


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
