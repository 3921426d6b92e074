"""What the documentation states about the code, held against the code."""

import ast
import re
import shlex
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

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


def prose(page):
    """A page without its blocks of code."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"^(```+|:::+).*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)


def links(page):
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    targets = re.findall(r"\]\(<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\)", text)
    return targets + re.findall(r"<(?:a|img)\b[^>]*?(?:href|src)=\"([^\"]+)\"", text)


def anchors(page):
    """Those that MyST and code hosts give to the headings."""
    headings = re.findall(r"^#{1,3} (.+)$", prose(page), re.MULTILINE)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)|[`*\\\\]", r"\1", heading) for heading in headings]
    kept = [re.sub(r"[^\w\- ]", "", heading.strip().lower()) for heading in plain]
    return {heading.replace(" ", "-") for heading in kept}


OUTSIDE = re.compile(r"[a-z][a-z0-9+.-]*:|//")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page):
    local = [link.partition("#") for link in links(page) if not OUTSIDE.match(link)]
    for target, _, anchor in local:
        there = page.parent / target if target else page
        assert there.exists(), f"{page.name} links to {target}"
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), f"{page.name} links to {target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_outside_links_are_well_formed(page):
    """Whether there is an answer at their ends takes a network: `make links`."""
    for link in filter(OUTSIDE.match, links(page)):
        parts = urlsplit(link)
        assert parts.scheme == "https", link
        assert re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}", parts.netloc), link
        assert not re.search(r"[.,;:]$|//", parts.path), link


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
