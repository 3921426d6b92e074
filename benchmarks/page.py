"""docs/benchmarks.md, made of the benchmarks' results: no figure in it was typed.

    make bench        (or: python -m benchmarks.page)

A benchmark whose results are not there yet has its description and its command alone.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from subspace_nn.common.atomic import write_atomically
from subspace_nn.report import markdown
from subspace_nn.report.document import Table

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"

#: What a whole step may take over the plain one, by net and kind.
GOALS = {
    ("conv", "hashed"): 1.05, ("conv", "hadamard"): 1.15, ("conv", "fastfood"): 1.15,
    ("fc", "hashed"): 1.15, ("fc", "hadamard"): 1.5, ("fc", "fastfood"): 1.5,
    ("transformer", "hashed"): 1.05,
}  # fmt: skip

_NOTE = "<!-- Written by `python -m benchmarks.page`; do not edit. -->"

_LEAD = """\
What projections cost, beside what a training costs anyway and beside others' projections.
[Projections](projections.md#what-it-costs-at-your-sizes) tells how to measure them at your sizes.

```sh
make bench                                     # all, and this page: about half an hour
python -m benchmarks.fwht results/fwht.json    # one of them
python -m benchmarks.fwht --device cuda        # elsewhere, printed only
python -m benchmarks.page                      # this page, of the results that are there
```

All times are of one thread and float32. What is compared is timed in turn, round after round, in
one process, and what counts is the median over the rounds of the ratio within a round: on a shared
machine, times of two runs do not compare. On a CPU they are times of the processor, which leave
out what it did for others."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Benchmark:
    """A script, and how its results are shown.

    Attributes:
        title: of its section.
        minutes: that it takes, about.
        text: what it measures.
        tables: makes tables of its file's content.
    """

    title: str
    minutes: int
    text: str
    tables: Callable[[Mapping[str, Any]], Sequence[Table]]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _range(row: Row) -> str:
    low, high = row["ratio_quartiles"]
    return f"{low:.2f} to {high:.2f}"


def steps(content: Mapping[str, Any]) -> list[Table]:
    """Whole training steps.

    Args:
        content: of step_time.json.

    Returns:
        One table.
    """
    rows = []
    for row in content["results"]:
        goal = GOALS.get((row["model"].partition(",")[0], row["projection"]))
        rows.append([
            row["model"], row["projection"], f"{row['dim']:,}", _number(row["plain_ms"]),
            _number(row["subspace_ms"]), f"{row['ratio']:.3f}", _range(row), f"{goal or '–'}",
        ])  # fmt: skip
    columns = [
        "net",
        "projection",
        "d",
        "plain, ms",
        "in the subspace, ms",
        "ratio",
        "quartiles",
        "goal",
    ]
    return [Table(columns, rows, words=2)]


def products(content: Mapping[str, Any]) -> list[Table]:
    """Both products of `hashed`, and what they are made of.

    Args:
        content: of roofline.json.

    Returns:
        Two tables.
    """
    rows = [
        [
            row["product"], row["form"], row["pages"] or "–", f"{row['D']:,}", f"{row['dim']:,}",
            _number(row["ms"]), f"{row['copies']['ratio']:.2f}", f"{row['floor_copies']:g}",
            f"{row['clones']['ratio']:.2f}", f"{row['stored_bytes_per_weight']:.2f}",
            f"{row['peak_bytes_per_weight']:.2f}",
        ]
        for row in content["results"]
    ]  # fmt: skip
    columns = [
        "product", "form", "pages", "D", "d", "ms", "copies", "floor", "clones",
        "keeps, bytes a weight", "needs, bytes a weight",
    ]  # fmt: skip
    parts = [
        [row["part"], row["pages"] or "–", f"{row['ns_per_weight']:.2f}"]
        for row in content["parts"]
    ]
    return [
        Table(columns, rows, words=3),
        Table(["part", "pages", "ns a weight"], parts, words=2, caption="Where the time goes:"),
    ]


def transforms(content: Mapping[str, Any]) -> list[Table]:
    """Walsh-Hadamard transforms.

    Args:
        content: of fwht.json.

    Returns:
        One table: a line for each n, ratios of the forms.
    """
    found: dict[int, dict[str, Row]] = {}
    for row in content["results"]:
        found.setdefault(row["log2_n"], {})[row["form"]] = row
    forms = [form for form in next(iter(found.values())) if form != "in place"]
    rows = [
        [f"2^{n}", _number(by["in place"]["ms"]), *(f"{by[form]['ratio']:.2f}" for form in forms)]
        for n, by in found.items()
    ]
    return [Table(["n", "in place, ms", *forms], rows, words=1)]


def others(content: Mapping[str, Any]) -> list[Table]:
    """Others' maps.

    Args:
        content: of peers.json.

    Returns:
        One table.
    """
    rows = []
    for row in content["results"]:
        own = [row["peer"], row["ours"], f"{row['D']:,}", f"{row['dim']:,}"]
        if "not_run" in row:
            rows.append([*own, *["–"] * 7])
            continue
        held = [f"{row[f'{whose}_{what}_bytes'] / row['D']:,.1f}"
                for what in ("kept", "needed") for whose in ("other", "ours")]  # fmt: skip
        faster = f"{row['times_faster']['ratio']:.2f}"
        rows.append([*own, _number(row["other_ms"]), _number(row["ours_ms"]), faster, *held])
    columns = [
        "theirs", "ours", "D", "d", "theirs, ms", "ours, ms", "times faster",
        "keeps: theirs", "ours", "needs: theirs", "ours",
    ]  # fmt: skip
    return [Table(columns, rows, words=2)]


def set_ups(content: Mapping[str, Any]) -> list[Table]:
    """Setting up a subspace.

    Args:
        content: of setup.json.

    Returns:
        One table.
    """
    rows = [
        [
            row["kind"] + (" (computed)" if "computed_from_dim" in row else ""),
            _number(row["seconds"]),
            _number(row["peak_bytes"] / 1e6),
            _number(row["kept_bytes"] / 1e6),
        ]
        for row in content["results"]
    ]
    caption = f"{content['model']}, d = {content['dim']:,}"
    return [Table(["kind", "seconds", "needs, MB", "keeps, MB"], rows, caption=caption)]


BENCHMARKS = {
    "step_time": Benchmark(
        "A whole training step", 10,
        "Forward, backward and Adam in a subspace, over the same with all weights free: "
        "batches of 256 images for `conv` and `fc`, of 8 × 128 tokens for a transformer of 20"
        " million random weights. `dense` is a matrix of the size of the 2017 form. The goal "
        "is the most that the ratio should be. *Memory kept* is a process that does not give "
        "memory back, with `MALLOC_MMAP_THRESHOLD_=4294967296 "
        "MALLOC_TRIM_THRESHOLD_=8589934592`: of glibc's default, a net whose weights are tens of "
        "megabytes gets new pages in every step, and clearing them takes longer than the sums.",
        steps,
    ),
    "roofline": Benchmark(
        "`hashed` beside a copy of θ", 4,
        "P ω and Pᵀ g in multiples of copying θ into memory that is there (*copies*) and into"
        " new memory (*clones*). The *floor* is what the bytes that must move would take: 8 a"
        " weight where the index is stored, as for a copy, and 4 where it is recomputed. "
        "*Needs* is the most that is held at one time beyond ω, θ and what P keeps. Pages are"
        " those of the system's memory.\n\n"
        "What would reach the floor? With pages of 4 kB most of the forward product is new pages; "
        "a process that keeps its memory (above) does without. What is left is a lookup or an "
        "addition for each weight, one after another, at about a nanosecond: gathers of eight at "
        "a time, as AVX2 has, or several threads would come near a copy. Recomputed, indices are "
        "made in a dozen passes over a piece in the cache; a loop in C that makes one in "
        "registers and uses it at once would spare all of them. For d far beyond a cache, each "
        "weight costs an access to memory; only an order of the weights by their index, 4 bytes a "
        "weight more, would change that.",
        products,
    ),
    "fwht": Benchmark(
        "The Walsh-Hadamard transform", 1,
        "Times over that of the fastest form in pure torch that is known (*in place*: one "
        "product with H_16, then butterflies in place); below 1 is faster. *stacked* is the "
        "usual form, *radix 16* products throughout. `fwht` is the package's, *portable* the "
        "one with a fixed order of all sums; *columns* and *rows* are 1,000 of them, as "
        "`hadamard` asks for.",
        transforms,
    ),
    "peers": Benchmark(
        "Beside others' projections", 10,
        "A forward and a backward pass, with the kind of ours that does the same: the dense "
        "matrix of 2017; a Gaussian drawn anew in both passes, as tight-pac-bayes does (Lotfi"
        " et al., 2022); Fastfood in one block padded to a power of two, as "
        "intrinsic-dimensionality does for a tensor (PyPI); indices and factors, as Uni-LoRA "
        "does in PEFT (Li et al., 2025). They were written anew from their descriptions. Bytes "
        "are those a weight; a dash is a size at which theirs takes more than 2.4 GB or minutes. "
        "Where theirs is faster, there is a reason: ten columns are read sooner than a transform "
        "is made; torch's normal numbers cost up to a third less than ours, which are the same on "
        "every device; and at 21,840 weights, what a call costs is most of either way of indexing.",
        others,
    ),
    "setup": Benchmark(
        "Setting up `fc` at d = 10,000", 3,
        "The subspace, and its first two products, each kind in a process of its own. *Needs*"
        " is the largest resident size beyond that before. The form of 2017, "
        "`orthonormal`, is computed from its figures at d = 200: memory in proportion to D d,"
        " time to D d².",
        set_ups,
    ),
}  # fmt: skip


def page(results: Path) -> str:
    """The page.

    Args:
        results: folder with the benchmarks' JSON files, some or all.

    Returns:
        Markdown.
    """
    parts = [_NOTE, "# Benchmarks", _LEAD]
    for name, one in BENCHMARKS.items():
        parts += [f"## {one.title}", one.text, *_results(results / f"{name}.json", one)]
    return "\n\n".join(parts) + "\n"


def _results(file: Path, one: Benchmark) -> list[str]:
    command = f"python -m benchmarks.{file.stem} results/{file.name}"
    ways = f"```sh\n{command}    # about {one.minutes} minute{'s' if one.minutes > 1 else ''}\n```"
    if not file.is_file():
        return ["Not measured yet.", ways]
    content = json.loads(file.read_text("utf-8"))
    made = content["environment"]
    where = f"Measured on {made['hardware']} with torch {made['torch']}"
    where += f", commit {made['commit'][:7]}." if "commit" in made else "."
    shown = [text for t in one.tables(content) for text in (t.caption, markdown.table(t)) if text]
    return [*shown, where, ways]


def main() -> None:
    """Write the page."""
    write_atomically(PAGE, page(ROOT / "results").encode())


if __name__ == "__main__":
    main()
