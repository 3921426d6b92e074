"""Sweeps killed at random moments and resumed: the records must be those of an undisturbed one.

    make killtest     (or: python -m evidence.kill_test results/kill_test.json)

Each trial starts a sweep of toy runs by the command line, waits until a random number of records
is there, kills a random process of it (SIGKILL: the driver, or one of its workers, or all at
once), and starts it again, up to four times. Then every record must be whole JSON, the ids and the
figures must equal those of a sweep that nobody killed, and no record that was there before a kill
may have changed: what is finished is not run again.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from subspace_nn.common.atomic import write_atomically
from subspace_nn.runs.store import Store
from subspace_nn.runs.sweep import expand

TRIALS = 20
GRID = {"dim": "range(0, 10)", "seed": "range(0, 4)", "seconds": 0.1}
TASK = "tests.toy:quick"
RUNS = 40
#: So often is a sweep killed at most.
KILLS = 4


def main() -> None:
    """Run all trials, print, and write the JSON named on the command line."""
    outcomes = []
    for trial in range(TRIALS):
        with tempfile.TemporaryDirectory() as folder:
            outcomes.append(kill_and_resume(Path(folder), trial))
        print(f"trial {trial}: {outcomes[-1]}", flush=True)
    same = sum(outcome["same"] for outcome in outcomes)
    kills = sum(outcome["kills"] for outcome in outcomes)
    print(f"{same} of {TRIALS} sweeps, killed {kills} times in all, equal the undisturbed one")
    if len(sys.argv) > 1:
        content = {"command": "make killtest", "trials": outcomes}
        write_atomically(Path(sys.argv[1]), (json.dumps(content, indent=1) + "\n").encode())


def kill_and_resume(folder: Path, trial: int) -> dict[str, Any]:
    """One sweep, killed and resumed until it ends.

    Args:
        folder: for its records.
        trial: seed of the moments and the victims.

    Returns:
        `kills`, who was killed, whether the records are the `same` as undisturbed ones.
    """
    dice = random.Random(trial)  # noqa: S311  # no secret
    store = Store(folder)
    before: dict[str, Any] = {}
    victims: list[str] = []
    unchanged = True
    while (process := _start(folder)) and not _ended_before(process, store, len(victims), dice):
        victims.append(_kill_one(process, dice))
        records = {record["id"]: record for record in store.read()}
        unchanged &= all(records.get(i) == record for i, record in before.items())
        before = records
    expected = {run.id: run.execute()["result"] for run in expand(TASK, [{**GRID, "seconds": 0}])}
    expected = dict(zip([run.id for run in expand(TASK, [GRID])], expected.values(), strict=True))
    got = {record["id"]: record["result"] for record in store.read()}
    return {"kills": len(victims), "victims": victims, "same": got == expected and unchanged}


def _start(folder: Path) -> subprocess.Popen[bytes]:
    words = [f"{name}={value}".replace(" ", "") for name, value in GRID.items()]
    command = [sys.executable, "-c", "from subspace_nn.cli import main; main()", "sweep", *words]
    return subprocess.Popen(
        [*command, "--task", TASK, "--out", str(folder), "--jobs", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _ended_before(
    process: subprocess.Popen[bytes], store: Store, kills: int, dice: random.Random
) -> bool:
    """Wait for a random number of records, and a little; after some kills, for the end."""
    there = len(list(store.folder.glob("*.json")))
    goal = dice.randint(there, RUNS - 2) if kills < KILLS and there < RUNS - 2 else RUNS + 1
    while process.poll() is None and len(list(store.folder.glob("*.json"))) < goal:
        time.sleep(0.01)
    time.sleep(dice.uniform(0, 0.2))
    return process.poll() is not None


def _kill_one(process: subprocess.Popen[bytes], dice: random.Random) -> str:
    """Kill the driver, a worker, or everything; unless all was killed, wait and clear up."""
    group = process.pid
    workers = [pid for pid in _members(group) if pid != process.pid]
    victim = dice.choice(["driver", "worker", "all"])
    if victim == "worker" and workers:
        os.kill(dice.choice(workers), signal.SIGKILL)
        time.sleep(dice.uniform(0, 2))
    elif victim == "driver":
        process.kill()
        time.sleep(dice.uniform(0, 1))
    # What is left would run on beside the next attempt; a machine that dies takes it along.
    for pid in _members(group):
        _kill(pid)
    process.wait()
    return victim


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _members(group: int) -> list[int]:
    """Processes of a session: workers, too, that have a process group of their own."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == group:
            found.append(int(stat.parent.name))
    return found


if __name__ == "__main__":
    main()
