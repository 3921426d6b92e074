"""A measurement killed at random moments and resumed: the same answer, and no run repeated.

    python -m evidence.measure_kill results/measure_kill.json

Starts a measurement of a synthetic task by the command line, waits until a random number of new
records is written, interrupts it by a signal (`evidence.kill_test.SIGNALS`), and starts it again;
ten times. Then the answer must be that of an undisturbed measurement, and no record that existed
before a signal may have changed: finished runs are not repeated.
"""

import dataclasses
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import output
from evidence.kill_test import SIGNALS, send
from subspace_nn.dimension import Answer, answers, measure, question
from subspace_nn.runs.store import Store

KILLS = 10
TASK = "tests.dimension.synthetic:train"
ARGUMENTS = {"answer": 300, "noise": 1.5}
#: Duration of a run, long enough to be killed in it.
SECONDS = 0.2


def main() -> None:
    """Kill ten times, print, and write the JSON named on the command line."""
    with tempfile.TemporaryDirectory() as folder:
        outcome = kill_and_resume(Path(folder), KILLS)
    print(outcome)
    output.write(output.named(), "python -m evidence.measure_kill", **outcome)


def kill_and_resume(folder: Path, kills: int) -> dict[str, Any]:
    """One measurement, killed so often and then left to end.

    Args:
        folder: for its records.
        kills: how often.

    Returns:
        The signals, number of runs, how many finished ones were `repeated`, and whether it
        was the `same_answer` as undisturbed.
    """
    dice = random.Random(kills)  # noqa: S311  # no secret
    expected = undisturbed(folder / "calm")
    store, repeated = Store(folder / "killed"), 0
    victims: list[str] = []
    before: dict[str, Any] = {}
    for kill in range(kills + 1):
        process = _start(store.folder)
        if kill < kills:
            # New ones enough that every kill is one of a measurement at work.
            share = (len(expected.runs) - 2) * (kill + 1) // (kills + 1)
            _wait(process, store, share)
            time.sleep(dice.uniform(0, 2 * SECONDS))
            victims.append(dice.choice(SIGNALS))
            send(process, victims[-1], dice)
        else:
            process.wait()
        now = {record["id"]: record for record in store.read()}
        repeated += sum(now.get(i) != record for i, record in before.items())
        before = now
    (got,) = answers(store.folder)
    return {
        "victims": victims,
        "runs": len(got.runs),
        "d_int": got.dim,
        "interval": [got.low, got.high],
        "same_answer": _plain(got) == _plain(expected),
        "repeated": repeated,
    }


def undisturbed(folder: Path) -> Answer:
    """The same measurement in one go."""
    asked = question(TASK, {**ARGUMENTS, "seconds": SECONDS})
    return measure(asked, folder, engine="loky", jobs=4)


def _plain(answer: Answer) -> Answer:
    return dataclasses.replace(answer, seconds=0.0)


def _start(folder: Path) -> subprocess.Popen[bytes]:
    words = [f"{name}={value}" for name, value in {**ARGUMENTS, "seconds": SECONDS}.items()]
    command = [sys.executable, "-c", "from subspace_nn.cli import main; main()", "measure", TASK]
    return subprocess.Popen(
        [*command, *words, "--out", str(folder), "--jobs", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _wait(process: subprocess.Popen[bytes], store: Store, count: int) -> None:
    """Wait until the folder has this many records."""
    while process.poll() is None and len(store.written()) < count:
        time.sleep(0.01)


if __name__ == "__main__":
    main()
