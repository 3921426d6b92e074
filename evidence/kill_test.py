"""Interrupt sweeps at random moments, resume them, and compare with an undisturbed sweep.

    python -m evidence.kill_test results/kill_test.json

Each trial starts a sweep of toy runs at the command line and waits until a random number of records
is written. Then it sends a signal: SIGKILL to the driver, to a worker (and, a little later, SIGTERM
to the driver) or to all processes, SIGTERM to the driver, or SIGHUP to all, as a terminal does that
is closed. No process of the sweep may be left after ten seconds. The sweep is started again, until
each kind of signal was sent. In the end every record must be whole, ids and results must equal
those of an undisturbed sweep, and no record that existed before a signal may have changed: only
runs in flight are run again.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import output
from subspace_nn.runs.record import Record
from subspace_nn.runs.store import Store
from subspace_nn.runs.sweep import expand

TRIALS = 4
GRID = {"dim": "range(0, 10)", "seed": "range(0, 4)", "seconds": 0.3}
TASK = "tests.toy:quick"
RUNS = 40

#: Seconds after which no process of an interrupted sweep may be left.
LIMIT = 10.0

SIGNALS = ("SIGKILL driver", "SIGKILL worker", "SIGKILL all", "SIGTERM driver", "SIGHUP all")


def main() -> None:
    """Run all trials, print, and write the JSON named on the command line."""
    outcomes = []
    for trial in range(TRIALS):
        dice = random.Random(trial)  # noqa: S311  # no secret
        order = dice.sample(SIGNALS, len(SIGNALS))
        with tempfile.TemporaryDirectory() as folder:
            outcomes.append(interrupt_and_resume(Path(folder), order, trial))
        print(f"trial {trial}: {outcomes[-1]}", flush=True)
    sent = [one for outcome in outcomes for one in outcome["sent"]]
    summary = {
        "same": sum(outcome["same"] for outcome in outcomes),
        "sent": {name: sum(one["signal"] == name for one in sent) for name in SIGNALS},
        "processes left after 10 s": sum(one["left"] for one in sent),
        "seconds until none was left, at most": max(one["seconds"] for one in sent),
    }
    print(summary)
    command = "python -m evidence.kill_test"
    output.write(output.named(), command, summary=summary, trials=outcomes)


def interrupt_and_resume(folder: Path, signals: Sequence[str], seed: int) -> dict[str, Any]:
    """Interrupt one sweep by each signal in turn, and resume it until it ends.

    Args:
        folder: for its records.
        signals: of `SIGNALS`.
        seed: of the moments and the workers.

    Returns:
        Whether the records are the `same` as undisturbed ones; for each signal `sent` the
        processes `left` after ten seconds, and the seconds until none was left.
    """
    dice = random.Random(seed)  # noqa: S311
    store = Store(folder)
    before: dict[str, Record] = {}
    sent: list[dict[str, Any]] = []
    unchanged = True
    for number, name in enumerate(signals):
        process = _start(folder)
        goal = min(len(store.written()) + dice.randint(1, 5), RUNS - len(signals) + number)
        _wait_for(process, store, goal)
        time.sleep(dice.uniform(0, 0.2))
        sent.append({"signal": name, **send(process, name, dice)})
        records = {record["id"]: record for record in store.read()}
        unchanged &= all(records.get(i) == record for i, record in before.items())
        unchanged &= not store.read().problems
        before = records
    last = _start(folder).wait()
    expected = {
        run.id: undisturbed.execute()["result"]
        for run, undisturbed in zip(
            expand(TASK, [GRID]), expand(TASK, [{**GRID, "seconds": 0}]), strict=True
        )
    }
    got = {record["id"]: record["result"] for record in store.read()}
    same = got == expected and unchanged and last == 0 and not any(store.claims().values())
    return {"same": same, "sent": sent}


def _start(folder: Path) -> subprocess.Popen[bytes]:
    words = [f"{name}={value}".replace(" ", "") for name, value in GRID.items()]
    command = [sys.executable, "-m", "subspace_nn", "sweep", *words]
    return subprocess.Popen(
        [*command, "--task", TASK, "--out", str(folder), "--jobs", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _wait_for(process: subprocess.Popen[bytes], store: Store, goal: int) -> None:
    while process.poll() is None and len(store.written()) < goal:
        time.sleep(0.01)


def send(process: subprocess.Popen[bytes], name: str, dice: random.Random) -> dict[str, Any]:
    """Interrupt a command, and wait until its processes have ended.

    Args:
        process: the command, first of a session of its own.
        name: one of `SIGNALS`.
        dice: chooses the worker.

    Returns:
        The processes `left` after ten seconds, which are then killed; the `seconds` until none was.
    """
    kind, _, whom = name.partition(" ")
    number = signal.Signals[kind]
    members = processes_of(process.pid)
    workers = [pid for pid in members if pid != process.pid]
    victims = {"driver": [process.pid], "all": members}.get(whom) or [
        dice.choice(workers or [process.pid])
    ]
    for pid in victims:
        _kill(pid, number)
    if whom == "worker":  # the sweep goes on; it is left alone for a while, and then ended
        time.sleep(dice.uniform(0.5, 2))
        _kill(process.pid, signal.SIGTERM)
    began = time.monotonic()
    process.wait(LIMIT)
    while (left := processes_of(process.pid)) and time.monotonic() < began + LIMIT:
        time.sleep(0.05)
    seconds = round(time.monotonic() - began, 2)
    for pid in left:
        _kill(pid, signal.SIGKILL)
    return {"left": len(left), "seconds": seconds}


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def processes_of(session: int) -> list[int]:
    """List the processes of a session, also those with a process group of their own.

    Args:
        session: number of its first process.

    Returns:
        Numbers of the processes that are not dead.
    """
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] not in {"Z", "X"}:
            found.append(int(stat.parent.name))
    return found


if __name__ == "__main__":
    main()
