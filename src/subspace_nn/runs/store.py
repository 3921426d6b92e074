"""Records on disk: one atomic JSON file per run in a folder, and one packed file next to it."""

import contextlib
import json
import os
import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from subspace_nn.common import strict_json
from subspace_nn.common.atomic import write_atomically
from subspace_nn.common.claims import claim, is_held
from subspace_nn.common.errors import InputError
from subspace_nn.common.numbers import counted
from subspace_nn.runs import packed, tables
from subspace_nn.runs import record as schema
from subspace_nn.runs.record import DONE, Record

RUNNING = ".running"

#: The packed file of a folder has its name, this ending, and lies next to it.
PACKED = ".jsonl"

#: Folder of the answers of measurements, in the folder of their records; packed with these.
ANSWERS = "measurements"

#: Folders in one of records that hold weights, or what trackers write.
_NO_RECORDS = frozenset(("weights", "tensorboard", "wandb", "mlruns"))

#: What `train` writes next to its record, which a folder of records may hold.
HISTORY = "history.json"

_HEX = re.compile(r"[0-9a-f]{16}")


class Records(list[Record]):
    """Records that were read, and why others were left out.

    Attributes:
        problems: one sentence for each file or line that was left out.
    """

    def __init__(self, records: Iterable[Record] = (), problems: Iterable[str] = ()) -> None:
        super().__init__(records)
        self.problems = list(problems)

    def __repr__(self) -> str:
        """Count them: a record alone fills a page."""
        failed = sum(record["status"] != DONE for record in self)
        return f"<{counted(len(self), 'records')}{f', {failed} failed' if failed else ''}>"


class Store:
    """A folder of records, named by the ids of their runs, and the packed file next to it.

    Any number of processes may write at once: each record is its own file, written whole or not
    at all. `results/mine.jsonl` holds packed records of the folder `results/mine`; if a record is
    in both, the folder's counts.

    Args:
        folder: created when the first record is written.

    Example:
        >>> import tempfile
        >>> from subspace_nn.runs.run import Run
        >>> run = Run("statistics:mean", {"data": [1, 2, 3]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store = Store(folder)
        ...     store.write(run.failed("an example"))
        ...     [record["error"] for record in store.read()]
        ['an example']
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    @property
    def packed(self) -> Path:
        """The file of packed records; it need not exist."""
        folder = self.folder if self.folder.name else self.folder.absolute()
        return folder.with_name(folder.name + PACKED)

    def path(self, run_id: str) -> Path:
        """Where the record of a run is written.

        Args:
            run_id: its id.

        Returns:
            The path.
        """
        return self.folder / f"{run_id}.json"

    def write(self, record: Record) -> None:
        """Write a record, in place of an earlier one of the same run.

        Args:
            record: ready for JSON.

        Raises:
            InputError: if it cannot be written (full disk, no permission); the message names the
                run, and no part of the record is left.
        """
        path = self.path(record["id"])
        text = json.dumps(record, indent=1, sort_keys=True, allow_nan=False) + "\n"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text.encode())
        except OSError as error:
            raise InputError(
                f"The record of run {record['id']} cannot be written to {path}: {error.strerror}."
            ) from None

    def keep(self, record: Record) -> None:
        """Write a record unless it is on disk already.

        Args:
            record: as for `write`.

        Raises:
            InputError: if it cannot be written.
        """
        if self.get(record["id"]) != record:
            self.write(record)

    def read(self) -> Records:
        """Read all records. Files that do not fit are left out, and named in `problems`.

        Returns:
            The records, ordered by id.

        Raises:
            InputError: if the folder cannot be read.
        """
        problems: list[str] = []
        found: dict[str, Record] = {}
        for record in self._read_packed(problems):
            if record["id"] in found:
                problems.append(
                    f"{self.packed} has run {record['id']} twice; the last line counts."
                )
            found[record["id"]] = record
        for record in self._read_folder(problems):
            if record["status"] == DONE or found.get(record["id"], record)["status"] != DONE:
                found[record["id"]] = record
        return Records((found[name] for name in sorted(found)), problems)

    def get(self, run_id: str) -> Record | None:
        """Read the record of one run, as the folder has it.

        Args:
            run_id: its id.

        Returns:
            The record; None if there is none that fits.
        """
        try:
            record = schema.decode(_content(self.path(run_id)))
        except (OSError, InputError):
            return None
        return record if record["id"] == run_id else None

    def written(self) -> set[str]:
        """Ids of the runs that have a file in the folder; none is opened."""
        return {e.name.removesuffix(".json") for e in _entries(self.folder) if _is_json(e.name)}

    def answers(self) -> tuple[dict[str, Any], list[str]]:
        """The answers of measurements, in the folder and in the packed file; the folder's count.

        Returns:
            Contents of the files of measurements by name, ordered, which whoever knows
            measurements has to check; and why files were left out, a sentence each.
        """
        found, problems = self._packed_answers(), list[str]()
        for path in sorted((self.folder / ANSWERS).glob("*.json")):
            found.pop(path.stem, None)
            try:
                found[path.stem] = strict_json.loads(_content(path))
            except InputError as error:
                problems.append(f"{path} is no answer: {'; '.join(error.problems)}.")
            except ValueError as error:
                problems.append(f"{path} is no answer: not JSON that is read here: {error}.")
            except OSError as error:
                problems.append(f"{path} cannot be read: {error.strerror}.")
        return dict(sorted(found.items())), problems

    def pack(self) -> tuple[Path, int]:
        """Write all records, and the answers of measurements, into the packed file.

        Returns:
            The file, and the number of records in it.

        Raises:
            InputError: if any file is no record or no answer (nothing is written then), or the
                packed file cannot be written.
        """
        records = self.read()
        answers, problems = self.answers()
        if problems := [*records.problems, *problems]:
            raise InputError(*problems, "Nothing was packed: remove these files first.")
        records.sort(key=tables.natural)
        try:
            write_atomically(self.packed, packed.encode(records, answers))
        except OSError as error:
            raise InputError(f"{self.packed} cannot be written: {error.strerror}.") from None
        return self.packed, len(records)

    def holds_records(self) -> bool:
        """Whether the folder or its packed file looks as if it held records.

        Returns:
            True if there is a packed file, or a file that is named by a run.

        Raises:
            InputError: if the folder cannot be read.
        """
        return self.packed.is_file() or any(map(_HEX.fullmatch, self.written()))

    @contextmanager
    def claim(self, run_id: str) -> Generator[bool]:
        """Claim a run for this process, for the duration of a block.

        Args:
            run_id: its id.

        Yields:
            Whether this process has it; False if another one that is alive does.

        Raises:
            InputError: if the folder cannot be written.
        """
        mark = self._mark(run_id)
        with contextlib.ExitStack() as stack:
            try:
                mine = stack.enter_context(claim(mark))
            except OSError as error:
                raise InputError(
                    f"Run {run_id} cannot begin, for {mark} cannot be written: {error.strerror}."
                ) from None
            yield mine

    def unclaim(self, run_id: str) -> None:
        """Remove the claim of a process that is known to be dead.

        Args:
            run_id: of the run.
        """
        self._mark(run_id).unlink(missing_ok=True)

    def claims(self) -> dict[str, bool]:
        """The runs that were begun and not ended.

        Returns:
            By id whether the process that began it is alive, as far as can be seen from here: one
            on another machine is, if it renewed its claim in the last two minutes.
        """
        marks = _entries(self.folder / RUNNING)
        return {one.name: is_held(Path(one.path)) for one in marks if _HEX.fullmatch(one.name)}

    def _mark(self, run_id: str) -> Path:
        return self.folder / RUNNING / run_id

    def finished(self) -> set[str]:
        """Ids of the runs that are done; failed ones are not."""
        return {record["id"] for record in self.read() if record["status"] == DONE}

    def _read_folder(self, problems: list[str]) -> Iterator[Record]:
        paths = [Path(entry.path) for entry in _entries(self.folder) if _is_json(entry.name)]
        for path in sorted(paths):
            try:
                record = schema.decode(_content(path))
                if record["id"] != path.stem:
                    raise InputError(f"its name must be {record['id']}.json")  # noqa: TRY301
            except InputError as error:
                problems.append(f"{path} is no record: {'; '.join(error.problems)}.")
            except OSError as error:
                problems.append(f"{path} cannot be read: {error.strerror}.")
            else:
                yield record

    def _packed_answers(self) -> dict[str, Any]:
        """Those of the packed file; none if it cannot be read, which `read` reports."""
        try:
            with _opened(self.packed) as file:
                return packed.answers(file.readline(strict_json.MAX_BYTES))
        except (InputError, OSError):
            return {}

    def _read_packed(self, problems: list[str]) -> Iterator[Record]:
        try:
            if not self.packed.exists():
                return
            with _opened(self.packed) as file:
                for one in packed.decode(iter(lambda: file.readline(strict_json.MAX_BYTES), b"")):
                    if isinstance(one, InputError):
                        problems.append(f"{self.packed}, {'; '.join(one.problems)}.")
                    else:
                        yield one
        except InputError as error:
            problems.append(f"{self.packed} is not read: {'; '.join(error.problems)}.")
        except OSError as error:
            problems.append(f"{self.packed} cannot be read: {error.strerror}.")


def stores(folders: Iterable[Path]) -> list[Store]:
    """Find the folders of records in some folders, at any depth, and each once.

    Args:
        folders: of records, or of such folders; or packed files.

    Returns:
        The stores, in order.

    Raises:
        InputError: if a folder does not exist, holds no records, or cannot be read; all of them
            are named.
    """
    found: dict[str, Store] = {}
    problems: list[str] = []
    for folder in folders:
        try:
            inside = list(_walk(_folder_of(folder), set()))
        except InputError as error:
            problems += error.problems
            continue
        if not inside:
            problems.append(
                f"No records in {folder}: expected files named by runs, as {'0' * 16}.json, or "
                f"packed records, as {folder.name or 'name'}{PACKED}."
            )
        for store in inside:
            found.setdefault(os.path.realpath(store.folder), store)
    if problems:
        raise InputError(*problems)
    return list(found.values())


def _folder_of(path: Path) -> Path:
    """The folder of records that a path means; a packed file stands for its folder."""
    folder = path.with_suffix("") if path.suffix == PACKED and not path.is_dir() else path
    if not folder.is_dir() and not Store(folder).packed.is_file():
        if path.exists():
            raise InputError(f"{path} is a file: expected a folder of records.")
        raise InputError(f"The folder {path} does not exist.")
    return folder


def _walk(folder: Path, seen: set[str]) -> Iterator[Store]:
    """The stores at and below a folder; one that links to itself, or upwards, is read once."""
    real = os.path.realpath(folder)
    if real in seen:
        return
    seen.add(real)
    store = Store(folder)
    if store.holds_records():
        yield store
    inside = [entry for entry in _entries(folder) if not entry.name.startswith(".")]
    names = {entry.name for entry in inside if entry.is_dir() and entry.name not in _NO_RECORDS}
    names |= {e.name.removesuffix(PACKED) for e in inside if e.name.endswith(PACKED)} - {""}
    for name in sorted(names):
        yield from _walk(folder / name, seen)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"The folder {folder} cannot be read: {error.strerror}.") from None


def _opened(path: Path) -> BinaryIO:
    """A file that may be anyone's: no pipe that never gives a byte, no device without an end."""
    if path.exists() and not path.is_file():
        raise InputError("expected a file")
    return path.open("rb")


def _content(path: Path) -> bytes:
    with _opened(path) as file:
        return file.read(strict_json.MAX_BYTES + 1)


def _is_json(name: str) -> bool:
    return name.endswith(".json") and not name.startswith(".") and name != HISTORY
