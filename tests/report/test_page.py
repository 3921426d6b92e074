"""The page says what the report says, and needs nothing else."""

import re
from html import escape
from html.parser import HTMLParser

import pytest

from subspace_nn.report.build import PARTS, build
from subspace_nn.report.document import Section
from subspace_nn.report.findings import Findings, Sweep
from subspace_nn.report.page import page
from tests.report import records as r

FOUND = Findings.of([
    (Sweep(name, name), records)
    for name, records in (("conv-hashed", r.CONV_NEW), ("houses", r.OWN), ("<odd> & name", r.ZOO))
])  # fmt: skip


def own(found):
    del found
    yield Section("own", "Own", "As it was: `P` & Q.", commands=["subspace-nn sweep a.toml"])


REPORT = build(FOUND, [own, *PARTS])


@pytest.fixture(scope="module")
def html():
    return page(REPORT, "subspace-nn report results")


class Checker(HTMLParser):
    """Sees that what is opened is closed, and gathers ids and links."""

    VOID = frozenset(("meta", "link", "br", "img", "input"))

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.tags = [], [], [], set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value for name, value in attrs if name in {"href", "src", "xlink:href"}]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def checked(html):
    checker = Checker()
    checker.feed(html)
    return checker


def test_the_page_is_well_formed(checked):
    assert checked.open == []
    assert len(checked.ids) == len(set(checked.ids))


def test_the_page_needs_no_network(html, checked):
    assert all(link.startswith("#") for link in checked.links)
    assert {link[1:] for link in checked.links} <= set(checked.ids)
    assert "url(http" not in html
    assert "@import" not in html


def test_every_table_and_figure_is_there(html):
    report = REPORT
    cells = re.findall(r"<td[^>]*>(.*?)</td>", html)
    for section in report.sections:
        assert f"<h2>{escape(section.title)}</h2>" in html
        for table in section.tables:
            for row in table.rows:
                assert [c for c in row if c not in cells and "<" not in c] == []
    pictures = [p for section in report.sections for p in section.pictures]
    shown = re.findall(r'id="figure-([^"]+)"', html)
    assert shown == [one.name for one in pictures]


def test_what_comes_from_records_is_escaped(html):
    assert "a &lt;fast&gt; machine" in html
    assert "<odd>" not in html
    assert "&lt;odd&gt;" in html
    assert "As it was: <code>P</code> &amp; Q." in html


def test_commands_are_there(html):
    assert "<code>subspace-nn sweep a.toml</code>" in html
    assert "<code>subspace-nn report results</code>" in html


def test_the_page_is_the_same_for_the_same_records(html):
    assert page(REPORT, "subspace-nn report results") == html


def test_a_page_of_nothing_has_no_figures():
    html = page(build(r.findings(empty=[])))
    assert "<figure" not in html
    assert "<script" not in html


def test_only_the_first_sections_are_open(html):
    assert html.count("<details><summary><h2>") == len(REPORT.sections) - 2
    first = html.index("<details><summary><h2>")
    assert html.index('id="odd-name"') < first < html.index('id="conv-hashed"')
