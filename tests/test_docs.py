"""What the documentation states about the code, held against the code."""

import ast
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from subspace_nn import bits, cli
from subspace_nn.cli.grammar import normal
from subspace_nn.tasks.config import RunConfig

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "subspace_nn"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/[!_]*.md")])
PAGES = [page for page in PAGES if page != ROOT / "docs" / "cli.md"]  # is made of the commands


def read(page):
    return (ROOT / "docs" / page).read_text(encoding="utf-8")


# Golden values.

FORMS = {
    "key": lambda k: f"{k:016x}",
    "words": lambda t: " ".join(f"{w % 2**64:016x}" for w in t.tolist()),
    "signs": lambda t: " ".join("-" if s < 0 else "+" for s in t.tolist()),
    "uniform": lambda t: " ".join(map(repr, t.tolist())),
    "permutation": lambda t: " ".join(map(str, t.tolist())),
}
GOLDEN = re.findall(r"^\| `(\w+)\((.*)\)` \| `(.*)` \|$", read("bits.md"), re.MULTILINE)


def test_golden_values_cover_every_function():
    assert {function for function, _, _ in GOLDEN} == {*FORMS, "normal"}


@pytest.mark.parametrize(("function", "arguments", "value"), GOLDEN)
def test_golden_values(function, arguments, value):
    got = getattr(bits, function)(*ast.literal_eval(f"({arguments})"))
    if function == "normal":
        assert got.tolist() == pytest.approx([float(v) for v in value.split()], rel=0, abs=2e-14)
    else:
        assert FORMS[function](got) == value


def test_published_splitmix64():
    block = read("bits.md").split("state 1234567")[1].split("## ")[0]
    published = [int(n) for n in re.findall(r"\d{15,}", block)]
    step = 0x9E3779B97F4A7C15
    assert published == [bits._mix_int((1234567 + i * step) % 2**64) for i in (1, 2, 3)]


# Links, options and keys.


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page):
    text = re.sub(
        r"^(```+|:::+).*?^\1$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    text = re.sub(r"`[^`\n]*`", "", text)
    targets = re.findall(r"\]\(<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\)", text)
    targets += re.findall(r"<(?:a|img)\b[^>]*?(?:href|src)=\"([^\"]+)\"", text)
    local = [t.partition("#")[0] for t in targets if not re.match(r"[a-z][a-z0-9+.-]*:|//|#", t)]
    missing = [target for target in local if not (page.parent / target).exists()]
    assert not missing, f"{page.name} links to {missing}"


def blocks(*languages):
    for page in PAGES:
        for language, block in re.findall(
            r"^```(\w+)\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        ):
            if language in languages:
                yield page.name, block


def commands():
    for page, block in blocks("sh", "bash", "console", "shell"):
        for line in block.splitlines():
            command = re.sub(r"\s[#>].*", "", line.removeprefix("$ ")).strip()
            if re.match(r"(\.venv/bin/)?subspace-nn ", command):
                yield pytest.param(command.split()[1:], id=f"{page}: {command}")
    for command in re.findall(r"`(subspace-nn [^`]*)`", read("cheatsheet.md")):
        if "VERB" not in command:
            yield pytest.param(shlex.split(command)[1:], id=f"cheatsheet.md: {command}")


@pytest.mark.parametrize("tokens", list(commands()))
def test_commands_parse(tokens):
    words = list(tokens)
    if "--config" in words:
        at = words.index("--config")
        del words[at : at + 2]
    _, _, ignored = cli.app.parse_args(
        normal(cli.app, words), exit_on_error=False, print_error=False
    )
    assert not ignored


QUICKSTART_TOML = [block for page, block in blocks("toml") if page == "quickstart.md"]


@pytest.mark.parametrize("block", QUICKSTART_TOML)
def test_configuration_files_hold_options(block):
    values = tomllib.loads(block)
    own = {key.replace("-", "_"): value for key, value in values.items()}
    others = {"out", "data", "force", "device", "threads"}
    config = {key: value for key, value in own.items() if key not in others}
    assert RunConfig(**config).problems() == []
