"""The command that makes records again."""

import inspect
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from subspace_nn.runs import sweep
from subspace_nn.runs.run import find_task
from subspace_nn.runs.task import NAMED


def sweep_commands(records: Sequence[Mapping[str, Any]], folder: str) -> list[str]:
    """Commands that run what records say was run.

    Args:
        records: of one folder.
        folder: where they shall be.

    Returns:
        One command for each grid that the arguments fall into; none if an argument cannot be
        written on a command line.

    Example:
        >>> runs = [{"task": "own:train", "arguments": {"dim": d, "seed": s}}
        ...         for d in (3, 10) for s in (0, 1, 2)]
        >>> print(*sweep_commands(runs, "results/own"))
        subspace-nn sweep --task own:train dim=3,10 'seed=range(0,3)' --out results/own
    """
    found = []
    for task in dict.fromkeys(record["task"] for record in records):
        runs = [r["arguments"] for r in records if r["task"] == task]
        words = ["subspace-nn", "sweep", *([] if task == "mnist" else ["--task", task])]
        for grid in _grids(_without_defaults(runs, task)):
            axes = [_axis(name, grid[name]) for name in sorted(grid, key=_place)]
            if None in axes:
                return []
            found.append(shlex.join([*words, *filter(None, axes), "--out", folder]))
    return found


def _grids(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, list[Any]]]:
    """Grids whose combinations are the runs: single runs, joined along argument after argument."""
    grids = [{name: [value] for name, value in run.items()} for run in runs]
    names = dict.fromkeys(name for run in runs for name in run)
    for axis in sorted(names, key=_place, reverse=True):
        joined: dict[str, dict[str, list[Any]]] = {}
        for grid in grids:
            others = json.dumps({n: v for n, v in grid.items() if n != axis}, sort_keys=True)
            first = joined.setdefault(others, {**grid})
            if axis in grid:
                first[axis] = _ordered([*first[axis], *grid[axis]])
        grids = list(joined.values())
    return grids


def _without_defaults(runs: Sequence[Mapping[str, Any]], task: str) -> list[dict[str, Any]]:
    """The arguments without those that have their default in every run."""
    if task not in NAMED:  # one of the user's own may take long to import, or not be there
        return [dict(run) for run in runs]
    parameters = inspect.signature(find_task(task)).parameters
    usual = {
        name
        for name, parameter in parameters.items()
        if all(run.get(name) == parameter.default for run in runs)
    }
    return [{n: v for n, v in run.items() if n not in usual or n in _PLACES} for run in runs]


#: The arguments that say what was run come first, the seed last.
_PLACES = {"model": 0, "dim": 1, "seed": 3}


def _place(name: str) -> tuple[int, str]:
    return _PLACES.get(name, 2), name


def _ordered(values: Sequence[Any]) -> list[Any]:
    found = {json.dumps(value): value for value in values}
    return [found[key] for key in sorted(found, key=lambda k: (len(k), k))]


def _axis(name: str, values: Sequence[Any]) -> str | None:
    """The word of the command line that has these values, if there is one."""
    if len(values) > 2 and values == list(range(len(values))):
        return f"{name}=range(0,{len(values)})"
    for word in (",".join(map(sweep.as_word, values)), sweep.as_word(values)):
        read = sweep.parse_assignments([f"{name}={word}"])[name]
        if (read if isinstance(read, list) else [read]) == values and "range(" not in word:
            return f"{name}={word}"
    return None
