"""The command itself: options that several verbs share, and how mistakes are reported."""

import ast
import functools
import io
import os
import re
import signal
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar, get_args

import cyclopts
from cyclopts import App, Parameter
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment
from rich.text import Text

from subspace_nn.cli.grammar import normal, value_of
from subspace_nn.cli.mistakes import explain
from subspace_nn.common.checks import require, whole
from subspace_nn.common.errors import InputError
from subspace_nn.common.text import visible
from subspace_nn.runs.task import NAMED, recipe

#: Exit codes: a mistake of the user; Ctrl-C.
BAD_INPUT, INTERRUPTED = 2, 130

T = TypeVar("T")

#: Set by the signals that end a command.
_interrupted = threading.Event()

#: Columns between which a width is a real one, and instead of any other. In fewer, rich shows
#: nothing, or help never ends; in 10^20 it fails.
NARROWEST, WIDEST, WIDTH = 20, 1000, 80

#: More files that were left out are counted, and not named.
_MOST_PROBLEMS = 20


def _convert(type_: Any, tokens: Sequence[cyclopts.Token]) -> Any:
    """Convert if possible; pass invalid values through, to report all mistakes together."""
    text = tokens[0].value
    if int in {type_, *get_args(type_)}:  # cyclopts would round 1.5
        return int(text) if re.fullmatch(r"[+-]?[0-9]+", text) else text
    if Path in {type_, *get_args(type_)}:
        return expanded(text)
    try:
        return cyclopts.convert(type_, tokens)
    except cyclopts.CoercionError:
        if type_ is bool:  # only a flag's value is checked by no one later
            raise
        return text


app = App(
    name="subspace-nn",
    help="Train PyTorch models in a low-dimensional subspace of their parameters.",
    version=version("subspace-nn"),
    default_parameter=Parameter(negative="", converter=_convert),
    help_format="markdown",
)


def expanded(path: str) -> Path:
    """A path with `~` as the user's home: a shell leaves it in `--out=~/x` and in quotes."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # ~name of nobody
        return Path(path)


def register(verb: str, place: str) -> None:
    """Make a function a verb, without importing its file; its docstring is read from the source.

    Args:
        verb: as typed.
        place: `file:function`, in this folder.
    """
    file, _, function = place.partition(":")
    source = Path(__file__).with_name(f"{file}.py").read_text(encoding="utf-8")
    (found,) = (
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name == function
    )
    path = f"{__package__}.{place}"
    app.command(path, name=verb, help=ast.get_docstring(found))


class Terminal(Console):
    """Where verbs print.

    A reader may leave, as in `train | head -1`: the work goes on. Text from files of strangers
    cannot command the terminal: control characters are shown as escapes.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, **options)  # which cuts 1,000 in two

    def print(self, *objects: Any, soft_wrap: bool | None = None, **options: Any) -> None:
        """With `soft_wrap`, a terminal's lines break at spaces alone, and those of a file never."""
        if soft_wrap and self.is_terminal:
            read = functools.partial(self.render_str, markup=options.get("markup", True))
            texts = (read(part) if isinstance(part, str) else part for part in objects)
            objects = tuple(_broken(text, self.width) for text in texts)
        super().print(*objects, soft_wrap=soft_wrap, **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))

    def on_broken_pipe(self) -> None:
        self.quiet = True
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), self.file.fileno())


def _broken(text: Text, width: int) -> Text:
    """A text whose lines break at spaces; rich would cut a path that is longer than a line."""
    starts = [0]
    for word in re.finditer(r"\S+", text.plain):
        if word.end() - starts[-1] > width and word.start() > starts[-1]:
            starts.append(word.start())
    lines = text.divide(starts[1:])
    for line in lines:
        line.rstrip()
    return Text("\n").join(lines)


Device = Annotated[str, Parameter(help="auto (CUDA if available), cpu, cuda, cuda:1, mps.")]
Data = Annotated[
    Path | None,
    Parameter(help="Folder with MNIST's four IDX files; by default the packaged ones."),
]
Trust = Annotated[
    bool,
    Parameter(help="You trust the author of the file: loading it may take any time and memory."),
]
Threads = Annotated[
    int | None, Parameter(help="CPU threads; by default PyTorch's choice, one per core.")
]


@app.meta.default
def _launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    config: Annotated[
        Path | None,
        Parameter(
            name="--config",
            help="TOML file with any of the options, as in `dim = 300`; flags take precedence.",
        ),
    ] = None,
) -> None:
    words = normal(app, tokens)
    words, named = _named(words)
    app.config = ((_toml(config),) if config else ()) + named
    app(words, exit_on_error=False, print_error=False)


def _named(words: list[str]) -> tuple[list[str], tuple[cyclopts.config.Dict, ...]]:
    """Replace the name of a task or a recipe by the options of `train` that it stands for."""
    verb, name = (*words, "", "")[:2]
    if verb != "train":
        return words, ()
    arguments: dict[str, Any] = {}
    if name in NAMED:
        words = [verb, *words[2:]]
        arguments = dict(NAMED[name].arguments)
    if wanted := value_of(words, "--recipe"):
        model = value_of(words, "--model") or arguments.get("model", "conv")
        arguments |= recipe(wanted, model)
    if not arguments:
        return words, ()
    source = f"the task {name}" if name in NAMED else f"the recipe {wanted}"
    return words, (cyclopts.config.Dict(arguments, use_commands_as_keys=False, source=source),)


def _toml(path: Path) -> cyclopts.config.Dict:
    # Cyclopts passes over tables and the names of verbs; a user who wrote one meant it.
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not TOML: {error}.") from None
    if odd := [name for name, v in content.items() if isinstance(v, dict) or name in app]:
        raise InputError(
            f"{path}: expected options as in `dim = 300`, got the table or verb {', '.join(odd)}."
        )
    return cyclopts.config.Dict(content, use_commands_as_keys=False, source=str(path))


def main() -> None:
    """Run the command; a mistake of the user's ends in one message and exit code 2."""
    app.config = ()  # not that of an earlier call in this process
    _end_as_by_ctrl_c()
    if not NARROWEST <= Console().width <= WIDEST:
        os.environ["COLUMNS"] = str(WIDTH)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # θ and ω must not end a run on an ASCII terminal
            stream.reconfigure(errors="replace")
    try:
        app.meta(sys.argv[1:], exit_on_error=False, print_error=False)
    except cyclopts.CycloptsError as error:
        _fail(explain(app, error))
    except InputError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename or 'A file'}: {error.strerror or error}.")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _end_as_by_ctrl_c() -> None:
    """SIGTERM, and a terminal that is closed, end a command as Ctrl-C does; nohup stays nohup."""
    _interrupted.clear()
    if threading.current_thread() is not threading.main_thread():
        return
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has two of them
        if number and signal.getsignal(number) in {signal.SIG_DFL, signal.default_int_handler}:
            signal.signal(number, _interrupt)


def _interrupt(*_: Any) -> NoReturn:
    _interrupted.set()
    raise KeyboardInterrupt


def interruptible(show: Callable[[T], None]) -> Callable[[T], None]:
    """Raise an interrupt again that was lost: Python drops an exception in a finalizer."""

    def check_and_show(state: T) -> None:
        if _interrupted.is_set():
            raise KeyboardInterrupt
        show(state)

    return check_and_show


def _fail(message: str) -> NoReturn:
    console = Terminal(stderr=True)
    for line in message.splitlines():
        console.print(f"[bold red]error:[/] {escape(line)}", soft_wrap=True)
    sys.exit(BAD_INPUT)


def show_problems(problems: Sequence[str]) -> None:
    """Name the files that were left out, on the error stream, and count them."""
    console = Terminal(stderr=True)
    for problem in problems[:_MOST_PROBLEMS]:
        console.print(f"left out: {problem}", markup=False, soft_wrap=True)
    if problems:
        hidden = len(problems) - _MOST_PROBLEMS
        more = f", of which {hidden} are not shown" if hidden > 0 else ""
        words = f"{len(problems)} left out because they are no records{more}."
        console.print(words, soft_wrap=True)


def show_next(console: Terminal, *commands: str) -> None:
    """Name the commands that are useful now, each on a line of its own, to be copied."""
    for number, words in enumerate(commands):
        opening = "      " if number else "Next: "
        console.print(f"{opening}subspace-nn {words}", markup=False, soft_wrap=True)


def gather(**attempts: Callable[[], Any]) -> dict[str, Any]:
    """Make all attempts; return their values, or raise one error with the problems of all."""
    results: dict[str, Any] = {}
    problems: list[str] = []
    for name, attempt in attempts.items():
        try:
            results[name] = attempt()
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(*problems)
    return results


def set_threads(threads: int | None) -> None:
    if threads is None:
        return
    require(whole("threads", threads, 1, 1024))
    import torch  # noqa: PLC0415  # takes seconds, for which `--help` does not wait

    torch.set_num_threads(threads)
