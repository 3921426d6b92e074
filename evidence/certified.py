"""What a bit buys: the tables and the figure of docs/certificates.md.

`subspace-nn sweep experiments/certificates.toml` makes the results.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from subspace_nn.common.moments import deviation, mean
from subspace_nn.report.chart import Axis, Chart, Point, Series
from subspace_nn.report.document import Table
from subspace_nn.runs.record import DONE
from subspace_nn.runs.store import stores
from subspace_nn.tasks.certified import CertifiedConfig

#: Published certificates at 95 %, by the words of `kind`: Lotfi et al. (2022); Pérez-Ortiz et al.,
#: "Tighter risk certificates for neural networks" (2021).
CERTIFIED = {
    "MNIST": "11.6 (Lotfi 2022); 9.0 with SVHN",
    "Fashion-MNIST": "32.8 (Lotfi 2022); 28.2 with transfer",
    "MNIST, θ0 learnt on 30,000": "1.55 (Pérez-Ortiz 2021)",
    "MNIST, shuffled labels": "",
}

#: Published accuracies on MNIST by bytes: Havasi et al., "Minimal random code learning" (2019),
#: read off their figure.
PUBLISHED = ((1520, 99.04, "MIRACLE"), (3030, 99.31, "MIRACLE"))

#: conv, d = 1000, rounded after the training: the table of docs/format.md.
AFTER = ((940, 96.96, "int4"), (1416, 97.60, "int8"), (2384, 97.60, "float16"))


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seeds.

    Attributes:
        arguments: of the first.
        results: of all.
    """

    arguments: Mapping[str, Any]
    results: Sequence[Mapping[str, Any]]

    @property
    def kind(self) -> str:
        """The data and the prior, in words."""
        name = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST"}[self.arguments["data"]]
        if self.arguments["first"]:
            return f"{name}, θ0 learnt on {self.arguments['first']:,}"
        return f"{name}, shuffled labels" if self.arguments["shuffled"] == "labels" else name

    @property
    def levels(self) -> str:
        """Levels of ω's grid; a record leaves out the default."""
        return str(self.arguments.get("levels", CertifiedConfig.levels))

    def values(self, name: str, factor: float = 100.0) -> list[float]:
        """One number of each run.

        Args:
            name: of the result.
            factor: that it is multiplied by.

        Returns:
            The numbers.
        """
        return [factor * result[name] for result in self.results]

    def cell(self, name: str, factor: float = 100.0, digits: int = 2) -> str:
        """Mean and standard deviation.

        Args:
            name: of the result.
            factor: that it is multiplied by.
            digits: after the point.

        Returns:
            As "97.50 ± 0.10".
        """
        values = self.values(name, factor)
        spread = f" ± {deviation(values):,.{digits}f}" if len(values) > 1 else ""
        return f"{mean(values):,.{digits}f}{spread}"


def groups(results: Path) -> list[Group]:
    """The runs of the sweep, by their arguments but the seed.

    Args:
        results: the folder of results.

    Returns:
        In the order of the file's first runs; none without the file.
    """
    path = results / "certificates.jsonl"
    if not path.is_file():
        return []
    found: dict[str, list[Mapping[str, Any]]] = {}
    first: dict[str, Mapping[str, Any]] = {}
    for store in stores([path]):
        for record in store.read():
            if record["status"] == DONE:
                own = {n: v for n, v in record["arguments"].items() if n != "seed"}
                found.setdefault(repr(sorted(own.items())), []).append(record["result"])
                first.setdefault(repr(sorted(own.items())), own)
    return [Group(first[key], found[key]) for key in found]


def certified(results: Path) -> Table | None:
    """Bounds, with published ones.

    Args:
        results: the folder of results.

    Returns:
        The table; None without results.
    """
    order = {kind: number for number, kind in enumerate(CERTIFIED)}
    found = sorted(groups(results), key=lambda g: (order[g.kind], mean(g.values("bound"))))
    rows = [
        [
            one.kind,
            f"{one.arguments['model']}, d = {one.arguments['dim']:,}",
            one.levels,
            str(one.arguments["epochs"]),
            one.cell("bits", 1, 0),
            one.cell("train_error"),
            one.cell("bound"),
            one.cell("test_error") if one.arguments["shuffled"] == "nothing" else "",
            str(len(one.results)),
            CERTIFIED[one.kind],
        ]
        for one in found
    ]
    columns = [
        "data", "net", "levels", "epochs", "bits", "training error, %", "certified, %",
        "test error, %", "n", "best published, %",
    ]  # fmt: skip
    return Table(columns, rows) if rows else None


def smallest(results: Path) -> Table | None:
    """Accuracy on MNIST by the bytes of the whole file.

    Args:
        results: the folder of results.

    Returns:
        The table; None without results.
    """
    found = sorted(_plain(results), key=lambda one: mean(one.values("checkpoint_bytes", 1)))
    rows = [
        [
            one.arguments["model"],
            f"{one.arguments['dim']:,}",
            one.levels,
            str(one.arguments["epochs"]),
            one.cell("checkpoint_bytes", 1, 0),
            one.cell("test_accuracy", 1),
            str(len(one.results)),
        ]
        for one in found
    ]
    columns = ["net", "d", "levels", "epochs", "bytes, whole file", "test accuracy, %", "n"]
    return Table(columns, rows) if rows else None


def chart(results: Path) -> Chart:
    """Accuracy on MNIST, and what of it is certified, against bytes.

    Args:
        results: the folder of results.

    Returns:
        The figure.
    """
    nets = sorted({one.arguments["model"] for one in _plain(results)})
    series = [one for number, net in enumerate(nets) for one in _lines(number, net, results)]
    published = [Point(size, y, y, y, name, name) for size, y, name in PUBLISHED]
    series.append(Series("published accuracy", published, "dots", "ink", "*"))
    lotfi = Point(2500 / 8, 88.4, 88.4, 88.4, "Lotfi et al., 2022", "Lotfi 2022")
    series.append(Series("published, certified", [lotfi], "dots", "soft", "D"))
    rounded = [
        Point(size, y, y, y, f"{name}, rounded after the training") for size, y, name in AFTER
    ]
    series.append(Series("conv, rounded after the training", rounded, "dotted", "soft", "s"))
    return Chart(
        "What a bit buys: MNIST against the bytes of the file",
        Axis("bytes of the whole file", "log"),
        Axis("accuracy (%)", "percent"),
        series,
        wide=True,
    )


def _lines(number: int, net: str, results: Path) -> Iterator[Series]:
    own = sorted(
        (one for one in _plain(results) if one.arguments["model"] == net),
        key=lambda one: one.arguments["dim"],
    )
    for name, look, of in (("test", "line", _accuracy), ("certified", "dashed", _certified)):
        points = [
            Point.of(
                mean(one.values("checkpoint_bytes", 1)), *of(one), f"d = {one.arguments['dim']}"
            )
            for one in own
        ]
        yield Series(f"{net}, {name}", points, look, f"c{number}")


def _accuracy(one: Group) -> tuple[float, float]:
    values = one.values("test_accuracy", 1)
    return mean(values), deviation(values) if len(values) > 1 else 0.0


def _certified(one: Group) -> tuple[float, float]:
    values = one.values("bound")
    return 100 - mean(values), deviation(values) if len(values) > 1 else 0.0


def _plain(results: Path) -> list[Group]:
    return [one for one in groups(results) if one.kind == "MNIST"]
