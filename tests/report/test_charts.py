"""The page's figures in a real browser: drawn, in sight, answering, and the same as the records."""

import base64
import hashlib
import re
from html import unescape
from importlib.resources import files

import pytest

from subspace_nn.report.build import build
from subspace_nn.report.page import page
from tests.browser import needs_chromium, result_of
from tests.report import records as r

REPORT = build(r.findings(conv_hashed=r.CONV_NEW + r.CONV_FULL, houses=r.OWN, zoo=r.ZOO))

PROBE = """
const result = {};
addEventListener("error", (event) => { result.error = event.message; });
addEventListener("securitypolicyviolation", (event) => { result.error = event.violatedDirective; });
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const drawn = () => document.querySelectorAll("figure.chart .plot svg").length;
addEventListener("load", async () => {
  await wait(300);
  const [first] = document.querySelectorAll("figure.chart");
  const box = first.querySelector("svg").getBoundingClientRect();
  result.picture = [box.top, box.bottom, box.left, box.right];
  result.window = [innerWidth, innerHeight, document.documentElement.scrollWidth];
  result.figures = document.querySelectorAll("figure.chart").length;
  result.before = drawn();
  const texts = () => [...first.querySelectorAll("svg text")].map((t) => t.textContent);
  result.texts = texts();
  result.label = first.querySelector("svg").getAttribute("aria-label");
  const dots = () => first.querySelectorAll("svg [aria-label='dot'] > *").length;
  result.dots = [dots()];
  const [one] = first.querySelectorAll("svg [aria-label='dot'] > *");
  if (one) {
    const { x, y, width, height } = one.getBoundingClientRect();
    const at = { clientX: x + width / 2, clientY: y + height / 2, bubbles: true };
    for (const kind of ["pointerenter", "pointermove"]) {
      const event = new PointerEvent(kind, { ...at, pointerType: "mouse" });
      first.querySelector("svg").dispatchEvent(event);
    }
    await wait(200);
    result.tip = first.querySelector("[aria-label='tip']").textContent;
  }
  const axis = first.querySelector(".axis");
  result.axis = [axis.textContent];
  axis.click();
  result.axis.push(axis.textContent);
  result.linear = texts();
  for (const one of document.querySelectorAll("details")) one.open = true;
  await wait(300);
  for (const one of document.querySelectorAll("figure.chart")) {
    one.scrollIntoView({ behavior: "instant" });
    for (let i = 0; i < 40 && !one.querySelector("svg"); i++) await wait(50);
  }
  result.after = drawn();
  const legend = document.querySelectorAll(".controls button:not(.axis)");
  if (legend.length) {
    const marks = () => legend[0].closest("figure").querySelectorAll("svg path").length;
    const count = marks();
    legend[0].click();
    result.toggled = [count, marks(), legend[0].getAttribute("aria-pressed")];
  }
  const shown = document.createElement("pre");
  shown.id = "result";
  shown.textContent = JSON.stringify(result);
  document.body.append(shown);
});
"""


def probed(html):
    """The page with the probe, which its policy is asked to allow."""
    digest = base64.b64encode(hashlib.sha256(PROBE.encode()).digest()).decode()
    html = html.replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
    return html.replace('<main id="top">', f'<script>{PROBE}</script><main id="top">')


@needs_chromium
@pytest.mark.parametrize("window", ["1280,800", "500,844"])
def test_the_figures_answer(window, tmp_path):
    got = result_of(probed(page(REPORT)), tmp_path, window)
    assert "error" not in got
    top, bottom, left, right = got["picture"]
    width, height, scrolled = got["window"]
    assert 0 < top < bottom < height
    assert 0 <= left < right <= width
    assert scrolled <= width  # nothing sticks out at the side
    pictures = [one for section in REPORT.sections for one in section.pictures]
    assert got["figures"] == len(pictures)
    assert got["before"] < len(pictures)  # what is folded costs nothing
    assert got["after"] == len(pictures)
    chart = pictures[0].chart
    assert got["label"].startswith(chart.title)
    assert got["dots"] == [sum(len(one.points) for one in chart.series)]
    note = chart.series[0].points[0].note
    assert note.startswith("d = 100: 91.00 ± 1.00 (n = 3)")
    assert note.split() == got["tip"].replace("\u200b", "").split()
    assert got["axis"] == ["y: error, log", "y: linear"]
    assert "90" in got["texts"]
    assert got["texts"] != got["linear"]
    before, after, pressed = got["toggled"]
    assert after < before
    assert pressed == "false"


def test_nothing_can_be_loaded_and_no_other_script_runs():
    html = page(REPORT)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy.startswith("default-src 'none'; ")
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digests = [
        f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'"
        for one in scripts
    ]
    assert unescape(policy.partition("script-src ")[2]) == " ".join(digests)


def test_libraries_are_as_released_and_have_their_licence():
    web = files("subspace_nn.report") / "web"
    digests = {
        name: hashlib.sha256((web / name).read_bytes()).hexdigest()
        for name in ("d3.min.js", "plot.min.js")
    }
    assert digests == {
        "d3.min.js": "912111098ea99503a6f4967361d2bbdc9dbf58cf9c678c8e27e5b02d1a07f0c1",
        "plot.min.js": "4358086467740777dd788d6b27a95cebdbaefdd50c730a3060117073bd7134cb",
    }
    html = page(REPORT)
    assert "Permission to use, copy, modify, and/or distribute this software" in html
    assert html.index("Permission to use") < html.index("d3js.org v7")


def test_the_page_is_small():
    assert len(page(REPORT).encode()) < 1_000_000
