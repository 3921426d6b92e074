"""Hardware, versions and commits."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from subspace_nn.report.document import Section, Table
from subspace_nn.report.findings import Findings
from subspace_nn.report.text import label

_COLUMNS = ("sweep", "hardware", "device", "torch", "Python", "commit", "runs", "hours")


def sections(found: Findings) -> Iterator[Section]:
    """What the runs of each sweep were made with.

    Args:
        found: sweeps of any tasks.

    Yields:
        One section, if any run is done.
    """
    done = found.runs[found.runs.done]
    if done.empty:
        return
    titles = {sweep.name: sweep.title for sweep in found.sweeps}
    kinds = done.assign(kind=done.environment.map(_kind)).groupby(["sweep", "kind"], sort=False)
    summary = kinds.agg(
        commits=("environment", _commits), n=("id", "size"), seconds=("seconds", "sum")
    )
    columns = (summary[name].tolist() for name in ("commits", "n", "seconds"))
    rows = [
        [label(titles[sweep]), *kind, commits, str(n), f"{seconds / 3600:.1f}"]
        for (sweep, kind), commits, n, seconds in zip(summary.index, *columns, strict=True)
    ]
    yield Section(
        "environment",
        "Environment",
        tables=(Table(_COLUMNS, rows, words=6),),
        notes=("A commit with + had changes that were not committed.",),
    )


def _kind(environment: Mapping[str, Any]) -> tuple[str, ...]:
    threads = environment.get("threads")
    device = str(environment.get("device", ""))
    if threads is not None:
        device += f", {threads} thread" + ("s" if threads != 1 else "")
    words = (environment.get("hardware", ""), device)
    versions = (environment.get("torch", ""), environment.get("python", ""))
    return tuple(label(word, 80) for word in (*words, *versions))


def _commits(environments: Iterable[Mapping[str, Any]]) -> str:
    found = {
        str(one["commit"])[:7] + ("+" if one.get("dirty") else "")
        for one in environments
        if one.get("commit")
    }
    return ", ".join(sorted(found))
