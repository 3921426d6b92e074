"""Derive each committed answer again from all records of its folder, without a run.

    python -m evidence.measure_answers results/measure

After a change of the estimator or the planner this brings the answers up to date. An answer that
more runs would make tighter then says "budget"; `subspace-nn measure` with the same words makes
these runs. It prints each answer that changes.
"""

import sys
from pathlib import Path

from subspace_nn.dimension import Answer, answer_from, answers
from subspace_nn.dimension.answer import Notes
from subspace_nn.runs.store import Store, stores


def main() -> None:
    """Write the answers again."""
    for store in stores([Path(sys.argv[1])]):
        for before, after in derived(store):
            if before != after:
                print(f"{store.folder}: {_short(before)} → {_short(after)}")
            made = tuple(after.runs[after.reused :])
            Notes(after.question, made, answer=after).write(store.folder)
        store.pack()


def derived(store: Store) -> list[tuple[Answer, Answer]]:
    """Each answer in a folder, and the one that all of the folder's records give."""
    records = store.read()
    found = answers(store.folder)
    if problems := [*records.problems, *found.problems]:
        raise ValueError("\n".join(problems))
    return [
        (one, answer_from(one.question, records, one.runs[one.reused :], one.made)) for one in found
    ]


def _short(answer: Answer) -> str:
    ends = f"{answer.low} to {answer.high}"
    return f"{answer.dim} ({ends}), {answer.stopped}, {len(answer.runs)} runs"


if __name__ == "__main__":
    main()
