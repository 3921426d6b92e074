"""One sweep: its table, its curves, and the command that makes it again."""

from collections.abc import Sequence

from subspace_nn.report import figures, text
from subspace_nn.report.document import Picture, Section, Sweep, Table
from subspace_nn.report.groups import ACCURACY, Group, group, labels, measures, value_text, varying
from subspace_nn.report.published import EXPERIMENTS, GREYDANUS, Experiment, published
from subspace_nn.report.scales import Line
from subspace_nn.report.series import names, series
from subspace_nn.report.sizes import checkpoint_bytes
from subspace_nn.report.theme import MARKERS, PALETTE
from subspace_nn.runs.run import DONE

#: More lines than this in one picture cannot be told apart.
_MOST_LINES = 10
#: More figures than this make a table too wide.
_MOST_MEASURES = 4


def section(sweep: Sweep) -> Section | None:
    """A sweep as a section of its own.

    Args:
        sweep: its records, of any task.

    Returns:
        The section, if any run is done.
    """
    groups = group(sweep.records)
    if not groups:
        return None
    known = EXPERIMENTS.get(sweep.name, Experiment(sweep.name, {}))
    return Section(
        sweep.name,
        known.title,
        text=sweep.description,
        pictures=[*_courses(sweep.name, groups), *_against_dim(sweep.name, groups)],
        tables=(_table(sweep.name, groups, known),),
        notes=[*_facts(sweep, groups), *known.notes],
        groups=groups,
        commands=sweep.commands,
    )


def is_mnist(one: Group) -> bool:
    """Whether a group is of the built-in task.

    Args:
        one: a group.

    Returns:
        True if its arguments are those of a training on MNIST.
    """
    return one.task == "mnist"


def _facts(sweep: Sweep, groups: Sequence[Group]) -> list[str]:
    runs = sum(g.n for g in groups)
    time = text.duration(sum(r["seconds"] for g in groups for r in g.records))
    errors = [r["error"].strip().splitlines()[-1] for r in sweep.records if r["status"] != DONE]
    facts = f"{runs} runs, {time} in all."
    if errors:
        facts += f" {len(errors)} more failed: {'; '.join(dict.fromkeys(errors))}"
    differing = {"seed", *varying(groups)}
    if len({g.arguments.get("projection") for g in groups}) > 1:
        differing.add("projection")
    common = [f"{n} {v}" for n, v in groups[0].arguments.items() if n not in differing]
    if len({g.D for g in groups}) == 1 and groups[0].D:
        common.append(f"weights D {groups[0].D:,}")
    return [facts, f"The same in all: {', '.join(common)}." if common else ""]


def _table(name: str, groups: Sequence[Group], known: Experiment) -> Table:
    arguments = varying(groups)
    mnist = all(is_mnist(g) for g in groups)
    judges = measures(groups)[: 1 if mnist else _MOST_MEASURES]
    columns = ["d" if a == "dim" else a for a in arguments] or ["sweep"]
    words = columns.index("d") if "d" in columns else len(columns)
    rows = [[value_text(a, g) for a in arguments] or [name] for g in groups]

    def column(heading: str, cells: Sequence[str]) -> None:
        if any(cells):
            columns.append(heading)
            for row, cell in zip(rows, cells, strict=True):
                row.append(cell or text.NOTHING)

    if len({g.D for g in groups}) > 1:
        column("weights D", [f"{g.D:,}" if g.D else "" for g in groups])
    column("D as printed", [known.parameters.get(g.model, "") for g in groups])
    if "dim" not in arguments:
        column("free d", [f"{g.dim:,}" if g.dim and not g.is_full else "" for g in groups])
    column(f"published, % ({GREYDANUS})", [published(name, g.arguments) for g in groups])
    strong = len(columns)
    for measure in judges:
        if mnist:
            column("measured, %", [text.percent(g.summary(measure)) for g in groups])
        else:
            column(measure, [text.figure(g.summary(measure)) for g in groups])
    column("n", [str(g.n) for g in groups])
    column("seconds a run", [text.seconds(g.seconds) for g in groups])
    if mnist:
        sizes = [checkpoint_bytes(g.records[0]["arguments"]) for g in groups]
        column("file, bytes", [text.size(size) for size in sizes])
    return Table(columns, rows, words=words, strong=(strong,) if judges else ())


def _courses(name: str, groups: Sequence[Group]) -> list[Picture]:
    """Curves over the epochs: all in one picture, or one for each net where they are too many."""
    if len({g.arguments.get("projection") for g in groups if not g.is_full}) > 1:
        return []
    parts = {"": list(groups)}
    if len(groups) > _MOST_LINES:
        models = dict.fromkeys(g.model for g in groups)
        parts = {model: [g for g in groups if g.model == model] for model in models}
    found: list[Picture] = []
    for model, part in parts.items():
        if 1 <= len(part) <= _MOST_LINES:
            found += _two_courses("-".join(filter(None, (name, model))), model, part)
    return found


def _two_courses(name: str, model: str, groups: Sequence[Group]) -> list[Picture]:
    # A single line is told by its picture's caption.
    ends = labels(groups) if len(groups) > 1 else [text.dims(groups[0])]
    ordered = varying(groups) == ["dim"]
    of = f"{model}: " if model else ""
    names_say = ", for each number of free parameters d" if ordered else ""
    kinds = [(ACCURACY, "accuracy", "Test accuracy"), ("train_loss", "loss", "Training loss")]
    if not all(is_mnist(g) for g in groups):
        first = measures(groups)[:1]
        kinds = [(m, m, m) for m in (*first, "train_loss") if m]
    pictures = []
    for measure, suffix, title in dict.fromkeys(kinds):
        if not any(g.over_epochs(measure)[1] or _has_loss(g, measure) for g in groups):
            continue
        pictures.append(
            Picture(
                f"{name}-{suffix}",
                f"{of}{title} by epoch{names_say}. Lines are means over the seeds, bands one "
                "standard deviation.",
                lambda measure=measure: figures.courses(groups, ends, measure, ordered=ordered),
            )
        )
    return pictures


def _has_loss(one: Group, measure: str) -> bool:
    return measure == "train_loss" and bool(one.loss_curve()[1])


def _against_dim(name: str, groups: Sequence[Group]) -> list[Picture]:
    """For a task of the user's own, which has no part in the plots across sweeps."""
    measure = next(iter(measures(groups)), None)
    found = [s for s in series(groups) if len(s.groups) > 1]
    if not found or measure is None or all(is_mnist(g) for g in groups):
        return []
    lines = [
        Line(
            label or measure,
            [(g.dim or 0, g.summary(measure)) for g in s.groups],
            "measured",
            PALETTE[number % len(PALETTE)],
            MARKERS[number % len(MARKERS)],
        )
        for number, (s, label) in enumerate(zip(found, names(found), strict=True))
    ]
    return [
        Picture(
            f"{name}-free-parameters",
            f"{measure} against the number of free parameters, with one standard deviation.",
            lambda: figures.against_dim(lines, measure),
        )
    ]
