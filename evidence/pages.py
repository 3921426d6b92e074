"""The tables of docs/, and its committed pictures, generated from results/: nobody types them.

python -m evidence.pages           (part of make report)
"""

import json
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from benchmarks import tables as benchmarks
from evidence import certified, language, learned, tensors
from evidence import measure_coverage as coverage
from evidence.blocks import fill
from experiments.report import free_parameters, recipes
from subspace_nn.common.atomic import write_atomically
from subspace_nn.report.document import Section, Table
from subspace_nn.report.figures.panel import draw
from subspace_nn.report.figures.theme import adaptive_svg
from subspace_nn.report.findings import Findings, read
from subspace_nn.report.markdown import plain, table
from subspace_nn.report.parts import measurements

ROOT = Path(__file__).resolve().parents[1]
_NAMES = (
    *("benchmarks", "burn-in", "certificates", "examples/language", "examples/minilm"),
    *("examples/serving", "format", "gpu", "log", "measure", "results", "sources"),
)
PAGES = [ROOT / "docs" / f"{name}.md" for name in _NAMES]
#: Of the picture, in points: its letters can be read on a phone.
SIZE = (600.0, 430.0)
PICTURE = ROOT / "docs" / "figures" / "free-parameters.svg"
BITS = ROOT / "docs" / "figures" / "bits.svg"
BURN_IN = ROOT / "docs" / "figures" / "burn-in.svg"


def main() -> None:
    """Write the tables and the picture again."""
    results = ROOT / "results"
    for path in PAGES:
        page = path.read_text(encoding="utf-8")
        write_atomically(path, fill(page, lambda name: TABLES[name](results)).encode())
    (section,) = free_parameters.sections(_findings(results))
    (picture,) = section.pictures
    write_atomically(PICTURE, adaptive_svg(draw(picture.chart, SIZE)).encode())
    write_atomically(BITS, adaptive_svg(draw(certified.chart(results), SIZE)).encode())
    write_atomically(BURN_IN, adaptive_svg(draw(learned.chart(_findings(results)), SIZE)).encode())


@lru_cache(maxsize=1)
def _findings(results: Path) -> Findings:
    return read([results])


def _of_benchmark(name: str, results: Path) -> str:
    """The tables of a benchmark, and where it was measured."""
    file = results / f"{name}.json"
    if not file.is_file():
        return "Not measured yet."
    content = json.loads(file.read_text("utf-8"))
    made = content["environment"]
    where = f"Measured on {made['hardware']} with torch {made['torch']}"
    if "commit" in made:
        where += f", commit {made['commit'][:7]}" + " with changes" * made["dirty"]
    where += "."
    return "\n\n".join([*_markdown(benchmarks.TABLES[name](content)), where])


def _markdown(tables: Iterable[Table]) -> list[str]:
    return [text for one in tables for text in (plain(one.caption), table(one)) if text]


def _of_certificates(make: Callable[[Path], Table | None], results: Path) -> str:
    found = make(results)
    return "Not measured yet." if found is None else table(found)


def _of_findings(make: Callable[[Findings], Table | None], results: Path) -> str:
    return _of_certificates(lambda folder: make(_findings(folder)), results)


def _pitfalls(results: Path) -> str:
    """How one change of the task moves an intrinsic dimension."""
    rows = json.loads((results / "measure_pitfalls.json").read_bytes())["results"]
    columns: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "change": lambda row: row["change"],
        "d_int": lambda row: f"{row['d_int']:,}",
        "95 % interval": lambda row: "{:,} to {:,}".format(*row["interval"]),
        "full model, %": lambda row: f"{row['full']:.2f}",
        "threshold, %": lambda row: f"{row['threshold']:.2f}",
        "runs": lambda row: str(row["runs"]),
        "stopped": _stopped,
    }
    return table(Table(list(columns), [[cell(row) for cell in columns.values()] for row in rows]))


def _stopped(row: Mapping[str, Any]) -> str:
    return "tight" if row["stopped"] == "tight" else f"{row['stopped']} spent"


def _coverage(results: Path) -> str:
    """How often the interval of a measurement holds the answer, by family of tasks."""
    content = json.loads((results / "measure_coverage.json").read_bytes())
    return f"{coverage.in_words(content)}\n\n{table(coverage.as_table(content))}"


def _fuzz(results: Path) -> str:
    """What a reader does with files that were changed."""
    content = json.loads((results / "fuzz.json").read_bytes())
    columns: dict[str, Callable[[str, Mapping[str, Any]], str]] = {
        "files": lambda name, row: f"{row['files']:,} {name}",
        "refused": lambda _, row: f"{row['refused']:,}",
        "loaded": lambda _, row: f"{row['loaded']:,}",
        "loaded as something else": lambda _, row: str(len(row["wrong"])),
        "crashed": lambda _, row: str(len(row["crashed"])),
        "slowest, s": lambda _, row: f"{row['most_seconds']:.2f}",
        "most memory, MB": lambda _, row: f"{row['most_megabytes']:.1f}",
    }
    rows = [[c(name, content[name]) for c in columns.values()] for name in ("mutants", "forgeries")]
    return table(Table(list(columns), rows))


def _measured(results: Path) -> str:
    """What each measurement found, with published values."""
    section = _summary(results)
    if section is None:
        return "Nothing yet."
    return "\n\n".join([*_markdown(section.tables), *map(plain, section.notes)])


def _intrinsic_dimensions(results: Path) -> str:
    """The same, in fewer columns."""
    section = _summary(results)
    if section is None:
        return "Nothing yet."
    (whole,) = section.tables
    kept = [whole.columns.index(name) for name in _SHORT]
    rows = [[row[index] for index in kept] for row in whole.rows]
    return table(Table(_SHORT, rows, words=2))


_SHORT = ("task", "threshold", "d_int", "interval", "published d_int", "D")


def _summary(results: Path) -> Section | None:
    return next(measurements.summary(_findings(results)), None)


def _recipes(net: str, results: Path) -> str:
    """The accuracies of 2017 and those of now."""
    found = [one for section in recipes.sections(_findings(results)) for one in section.tables]
    return table(next(one for one in found if one.caption.startswith(f"{net},")))


#: From the folder of results to Markdown.
TABLES: dict[str, Callable[[Path], str]] = {
    "certified": partial(_of_certificates, certified.certified),
    **{
        name: partial(_of_findings, make)
        for name, make in {
            "burn-in": learned.burn_in,
            "learned": partial(learned.reached, "sources"),
            "minilm": tensors.needed,
            **{
                sweep: partial(learned.reached, sweep)
                for sweep in ("generators", "pooling", "resampled", "stages")
            },
        }.items()
    },
    **{
        f"choices-{sweep}": partial(_of_findings, partial(learned.choices, sweep))
        for sweep in ("generators", "resampled", "sources", "stages")
    },
    "coverage": _coverage,
    "fuzz": _fuzz,
    "intrinsic-dimensions": _intrinsic_dimensions,
    "language": language.perplexities,
    "measured": _measured,
    "pitfalls": _pitfalls,
    "smallest": partial(_of_certificates, certified.smallest),
    **{
        f"tensors-{data}": partial(_of_certificates, partial(tensors.table, data))
        for data in ("tweets", "docstrings")
    },
    **{f"2017-{net}": partial(_recipes, net) for net in ("conv", "fc")},
    **{name: partial(_of_benchmark, name) for name in benchmarks.TABLES},
}


if __name__ == "__main__":
    main()
