"""What the records were made with."""

from collections.abc import Mapping, Sequence
from typing import Any

from subspace_nn.report.document import Section, Sweep, Table
from subspace_nn.runs.run import DONE


def section(sweeps: Sequence[Sweep]) -> Section | None:
    """Hardware, versions and commits of each sweep.

    Args:
        sweeps: all of the report.

    Returns:
        The section, if any run is done.
    """
    rows: list[list[str]] = []
    for sweep in sweeps:
        done = [record for record in sweep.records if record["status"] == DONE]
        kinds: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
        for record in done:
            kinds.setdefault(_kind(record["environment"]), []).append(record)
        rows += [
            [sweep.name, *kind, _commits(found), str(len(found)), _hours(found)]
            for kind, found in kinds.items()
        ]
    if not rows:
        return None
    return Section(
        "environment",
        "Environment",
        tables=(
            Table(
                ["sweep", "hardware", "device", "torch", "Python", "commit", "runs", "hours"],
                rows,
                words=6,
            ),
        ),
        notes=("A commit with + had changes that were not committed.",),
    )


def _kind(environment: Mapping[str, Any]) -> tuple[str, ...]:
    threads = environment.get("threads")
    device = str(environment.get("device", ""))
    if threads is not None:
        device += f", {threads} thread" + ("s" if threads != 1 else "")
    return (
        str(environment.get("hardware", "")),
        device,
        str(environment.get("torch", "")),
        str(environment.get("python", "")),
    )


def _commits(records: Sequence[Mapping[str, Any]]) -> str:
    found = {
        environment["commit"][:7] + ("+" if environment.get("dirty") else "")
        for environment in (record["environment"] for record in records)
        if environment.get("commit")
    }
    return ", ".join(sorted(found))


def _hours(records: Sequence[Mapping[str, Any]]) -> str:
    return f"{sum(record['seconds'] for record in records) / 3600:.1f}"
