"""A thousand records of strangers: each page is built, and does nothing that they ask for."""

import json
import re
import time

import pytest

from subspace_nn.common.text import visible
from subspace_nn.report.build import build
from subspace_nn.report.files import write_page
from subspace_nn.report.findings import read
from subspace_nn.runs.record import run_id
from tests import hostile
from tests.report import records as r

#: What is in a terminal's, a page's and a spreadsheet's language, and names of files.
NASTY = [
    "facebook/opt-125m", "x/../../escaped", "/etc/passwd", "..", "CON", ".hidden", "a" * 300, "",
    "$x$", "$\\frac{1}{$", "a\\b=c", "_^{", "%s{}", "=cmd|'/C calc'!A0", "+1", "-1", "@x",
    "\x1b]0;owned\x07", "\x1b[2J", "\u202egnp.exe", "a\nb", "```\n# x", "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>', "</svg></div>", "[a](javascript:alert(1))", "a|b", "漢字",
    "layerwise:orthonormal", "x" * 40 + "1", "x" * 40 + "2", "&lt;b&gt;", "{{ 7 * 7 }}", "`x`",
]  # fmt: skip
NUMBERS = [0, 1, -1, 3000, 10**12, 2**62, 1e200, -1e200, 1e308, 5e-324, 0.5, 97.5]

FOLDERS = ["$x$", "<b>", "\x1b[2J", "..a", "`|`", "\u202e"]

#: Records of a page: half are damaged, half fit the schema, twenty of these in a folder.
PAGES, EACH, TOGETHER = 5, 200, 20


def legitimate(number, seed):
    """Records that fit the schema, with every text and every number of the lists somewhere."""
    for count in range(number):
        group, place = divmod(count, TOGETHER)
        place_of_all = 2 * (seed * number // TOGETHER + group) + place * 2 // TOGETHER
        name, other = (NASTY[place_of_all * step % len(NASTY)] for step in (1, 7))
        value, size = (NUMBERS[place_of_all * step % len(NUMBERS)] for step in (1, 7))
        arguments = {
            "model": name, "projection": other, "dim": [3000, 10**12, 1, size][place % 4],
            "seed": count, other or "x": [name, value][place % 2],
        }  # fmt: skip
        task = "mnist" if group % 2 else "houses:train"
        curve = [value, size, 1.0]
        yield {
            "id": run_id(task, arguments),
            "task": task,
            "arguments": arguments,
            "status": "done" if count % 9 else "failed",
            "seconds": abs(value) % 10**9,
            "started": "2026-01-31T12:00:00+00:00",
            "environment": {"hardware": name, "commit": other, "threads": 1},
            "command": f"subspace-nn sweep {name}",
            "error": f"Traceback\n{other}x",
            "result": {
                "D": 10**12, "dim": 3000, "checkpoint_bytes": 2**62, "steps": 10,
                "test_accuracy": value, "train_loss": size, other or "y": value,
                "loss_curve": curve,
                "evaluations": [{"test_accuracy": v, "train_loss": v, "seconds": 1} for v in curve],
            },
        }  # fmt: skip


def write(folder, files):
    folder.mkdir(parents=True)
    for name, content in files:
        (folder / name.replace("/", "_")).write_bytes(content)


def as_files(records):
    return [(f"{one['id']}.json", json.dumps(one).encode()) for one in records]


def folders(records):
    """Folders of twenty records each."""
    records = list(records)
    return [as_files(records[i : i + TOGETHER]) for i in range(0, len(records), TOGETHER)]


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """Seconds that the page of as many honest records takes."""
    folder = tmp_path_factory.mktemp("honest")
    for epochs in range(1, EACH // TOGETHER + 1):
        records = r.curve(80.0, [30, 100, 300, 1000, 3000], seeds=range(4), epochs=epochs)
        write(folder / str(epochs), as_files(records))
    start = time.process_time()
    write_page(build(read([folder])), folder / "page.html")
    return time.process_time() - start


@pytest.mark.parametrize("seed", range(PAGES))
def test_hostile_records(seed, honest, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "b" / "=x", hostile.files(r.record(90.0, dim=100), EACH // 2, seed))
    for number, files in enumerate(folders(legitimate(EACH // 2, seed))):
        write(tmp_path / "b" / f"{FOLDERS[number % len(FOLDERS)]}{number}", files)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    words = ["--markdown", "page.md", *(["--figures", "figures"] if seed == 0 else [])]
    start = time.process_time()
    code, out, err = command("report", "b", "--out", "page.html", *words)
    assert code == 0, err
    assert "Traceback" not in out + err
    assert seed == 0 or time.process_time() - start < honest + 2
    html, markdown = ((tmp_path / f"page.{end}").read_text() for end in ("html", "md"))
    for text in (out, err, html, markdown):
        assert visible(text) == text  # no control character, nothing that turns the direction
    written = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert {path.parent for path in written} <= {tmp_path, tmp_path / "figures"}
    assert not list(tmp_path.parent.glob("escaped*"))
    assert len(re.findall("<script>", html)) == 3  # the package's own
    for data in re.findall(r'<script type="application/json">(.*?)</script>', html, re.DOTALL):
        assert "<" not in data
        json.loads(data)
    rest = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    tags = set(re.findall(r"<(\w+)", rest))
    assert not tags & {"script", "img", "b"}
    assert not re.findall(r"<[^>]* on\w+=", rest)
    assert "49" not in re.findall(r"<td>(.*?)</td>", rest)  # of {{ 7 * 7 }}


def test_every_record_that_fits_the_schema_is_shown(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "b", as_files(legitimate(100, 0)))
    code, _, err = command("report", "b")
    assert (code, err) == (0, "")
    page = (tmp_path / "report.html").read_text()
    assert "88 runs" in page
    assert "12 more failed" in page


@pytest.mark.parametrize("name", ["a" * 30 + "x" * 40, "\\", "=", "$\\alpha_$", "a_b^c"])
def test_a_long_or_odd_argument_that_varies(name, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    records = [
        one
        for kind in (name, name + "2", name + "3")
        for one in r.curve(80.0, [100, 1000], seeds=(0, 1))
        for one in [_with(one, {**one["arguments"], name: kind})]
    ]
    write(tmp_path / "mine", as_files(records))
    code, _, err = command("report", "mine", "--figures", "figures")
    assert (code, err) == (0, "")


def _with(record, arguments):
    return {**record, "arguments": arguments, "id": run_id(record["task"], arguments)}
