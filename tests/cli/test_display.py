"""What is seen of a training, in a terminal and elsewhere."""

import io
import re

import pytest
from rich.console import Console

from subspace_nn.cli import display
from subspace_nn.cli._app import Terminal
from subspace_nn.tasks.classifier import Evaluation, Progress
from subspace_nn.tasks.recipe import Recipe

EPOCHS, PER_EPOCH = 3, 400
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def evaluation(epoch: int) -> Evaluation:
    return Evaluation(epoch, epoch * PER_EPOCH, 0.5, 0.4, 9000 + epoch, 90 + epoch, epoch * 1.5)


def training() -> list[Progress]:
    """What the loop tells of a whole training, evaluations included."""
    steps = EPOCHS * PER_EPOCH
    reported = []
    for epoch in range(1, EPOCHS + 1):
        last = evaluation(epoch - 1) if epoch > 1 else None
        start = (epoch - 1) * PER_EPOCH
        reported += [Progress(epoch, start + n, steps, 2 / epoch, last) for n in (10, PER_EPOCH)]
        reported.append(Progress(epoch, start + PER_EPOCH, steps, 2 / epoch, evaluation(epoch)))
    return reported


def show(reported: list[Progress], *, terminal: bool, width: int = 100) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=width, _environ={})
    with display.progress(console, Recipe(epochs=EPOCHS)) as call:
        for now in reported:
            call(now)
    return console.file.getvalue()


def test_one_plain_line_an_epoch():
    assert show(training(), terminal=False).splitlines() == [
        "epoch 1/3  step 400  loss 2  test 91.00 %  1.5 s",
        "epoch 2/3  step 800  loss 1  test 92.00 %  3.0 s",
        "epoch 3/3  step 1200  loss 0.6667  test 93.00 %  4.5 s",
    ]


def test_a_line_is_not_wrapped():
    assert len(show(training(), terminal=False, width=30).splitlines()) == EPOCHS


def test_nothing_is_said_before_the_first_evaluation():
    assert not show(training()[:2], terminal=False)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_long_line_is_broken_at_spaces_and_only_in_a_terminal(terminal):
    file = io.StringIO()
    console = Terminal(file=file, force_terminal=terminal, width=30, _environ={})
    path = "results/a-folder-with-a-long-name/omega.safetensors"
    console.print(f"Another process is training into {path} right now.", soft_wrap=True)
    lines = [line.rstrip() for line in ESCAPE.sub("", file.getvalue()).splitlines()]
    broken = ["Another process is training", "into", path, "right now."]
    assert lines == (broken if terminal else [" ".join(broken)])


def last_frame(shown: str) -> str:
    return ESCAPE.sub("", shown).replace("\r", "\n").strip().splitlines()[-1]


@pytest.mark.parametrize("width", [50, 60, 80, 100, 200])
def test_bar_says_all_at_any_width(width):
    frame = last_frame(show(training(), terminal=True, width=width))
    assert len(frame) <= width
    for part in ("3/3", "0.6667", "93.00 %", "━", "00:00"):
        assert part in frame
    assert ("1200/1200" in frame) == (width >= 60)
    assert "…" not in frame


def test_the_line_of_each_epoch_stays_in_a_terminal():
    shown = ESCAPE.sub("", show(training(), terminal=True)).replace("\r", "\n")
    lines = [line.strip() for line in shown.splitlines() if line.startswith("epoch")]
    kept = [line for line in lines if "step" in line]
    assert [line.partition("  loss")[0] for line in kept] == [
        "epoch 1/3  step 400", "epoch 2/3  step 800", "epoch 3/3  step 1200",
    ]  # fmt: skip


def test_bar_says_nothing_of_what_is_not_known_yet():
    frame = last_frame(show([], terminal=True))
    assert "nan" not in frame
    assert "?" not in frame
    assert "epoch 0" not in frame


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt], ids=str)
def test_cursor_is_given_back(error):
    console = Console(file=io.StringIO(), force_terminal=True, width=100, _environ={})
    try:
        with display.progress(console, Recipe(epochs=EPOCHS)):
            if error:
                raise error
    except (RuntimeError, KeyboardInterrupt):
        pass
    shown = console.file.getvalue()
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def facts(rows: dict[str, str], title: str = "", width: int = 80) -> str:
    console = Console(file=io.StringIO(), force_terminal=False, width=width, _environ={})
    display.facts(console, rows, title)
    return console.file.getvalue()


def test_facts_are_names_and_values_one_below_the_other():
    lines = [line.split() for line in facts({"a": "1", "long name": "2 3"}).splitlines()]
    assert lines == [["a", "1"], ["long", "name", "2", "3"]]


def test_facts_have_their_title_above():
    assert facts({"a": "1"}, title="title").split() == ["title", "a", "1"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("runs/[b]x", id="opening tag"),
        pytest.param("runs/x[/b]", id="closing tag"),
        pytest.param("\\[x]", id="backslash"),
        pytest.param(":smile:", id="emoji"),
        pytest.param("/".join(["a-long-name-of-a-folder"] * 6), id="longer than a line"),
    ],
)
def test_facts_show_every_text_as_it_is(text):
    assert text in facts({"a": text})
    assert text in facts({"a": "1"}, title=text)


def test_no_rows_are_one_line():
    console = Terminal(file=io.StringIO(), width=60, _environ={})
    display.rows(console, [])
    assert console.file.getvalue() == "0 runs\n"


def test_a_narrow_table_keeps_what_judges_a_run():
    late = [f"argument{n}" for n in range(9)]  # that other tasks in the folder have
    table = [
        {"id": f"{n:016x}", "dim": n, "test_accuracy": 90.0 + n, **dict.fromkeys(late, n)}
        for n in (1, 2)
    ]
    console = Terminal(file=io.StringIO(), width=60, _environ={})
    display.rows(console, table)
    assert "test_accuracy" in console.file.getvalue().splitlines()[0]
