"""The page: the figures in it are those of the records, and it needs nothing else."""

import re
from html.parser import HTMLParser

import pytest

from subspace_nn.report import page
from subspace_nn.report.groups import group
from subspace_nn.report.published import PUBLISHED, published
from subspace_nn.sweep import parse


def record(dim, seed, accuracy, **arguments):
    evaluations = [
        {"epoch": e, "test_accuracy": accuracy - 10 / e, "train_loss": 1 / e} for e in (1, 2, 3)
    ]
    return {
        "id": f"{dim}-{seed}",
        "status": "done",
        "arguments": {"model": "conv", "dim": dim, "seed": seed, "lr": 0.3, **arguments},
        "seconds": 60.0,
        "environment": {"hardware": "a <fast> machine", "torch": "2.13.0", "commit": "abc"},
        "result": {
            "D": 21_840,
            "dim": 21_840 if dim == "full" else dim,
            "test_accuracy": accuracy,
            "evaluations": evaluations,
        },
    }


RECORDS = [
    record(dim, seed, base + seed)
    for dim, base in ((1000, 90.0), (3000, 95.0), ("full", 97.0))
    for seed in (0, 1, 2)
]


def test_groups_have_mean_and_deviation():
    groups = group([*RECORDS, {**RECORDS[0], "status": "failed"}])
    assert [(g.dim, g.n, g.mean, g.std) for g in groups] == [
        (1000, 3, 91.0, 1.0), (3000, 3, 96.0, 1.0), (21_840, 3, 98.0, 1.0),
    ]  # fmt: skip
    epochs, means, spreads = groups[0].over_epochs("test_accuracy")
    assert epochs == [1, 2, 3]
    assert means[1] == pytest.approx(86.0)
    assert spreads == pytest.approx([1.0] * 3)


def test_a_single_run_has_no_deviation():
    assert group(RECORDS[:1])[0].std is None


def cells(html):
    return [re.sub("<[^>]+>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", html)]


def test_measured_stands_beside_published():
    found = cells(page({"conv-large-2017": RECORDS}))
    assert found[:8] == ["1000", "21,840", "1,000", "93.5", "91.00 ± 1.00", "3", "60", "4,000"]
    assert found[16:21] == ["full", "21,840", "21,840", "99.0", "98.00 ± 1.00"]


def test_a_sweep_of_the_users_own_has_no_published_column():
    html = page({"mine": RECORDS})
    assert "published" not in html
    assert cells(html)[:4] == ["1000", "21,840", "1,000", "91.00 ± 1.00"]


def test_the_page_is_whole_and_needs_no_network():
    html = page({"conv-large-2017": RECORDS, "empty": []})
    assert html.count("<svg") == 2
    assert 'id="empty"' not in html
    assert "a &lt;fast&gt; machine" in html
    loaded = re.findall(r'(?:src|href)="([^"#]+)"', re.sub(r"xmlns[^=]*=\"[^\"]*\"", "", html))
    assert [link for link in loaded if not link.startswith("#")] == []
    HTMLParser().feed(html)


def test_the_page_is_the_same_for_the_same_records():
    assert page({"a": RECORDS}) == page({"a": list(RECORDS)})


def test_no_records_make_an_empty_page():
    assert "<svg" not in page({"a": []})


@pytest.mark.parametrize("experiment", list(PUBLISHED))
def test_every_published_figure_belongs_to_a_run_of_its_experiment(experiment, request):
    text = (request.config.rootpath / "experiments" / f"{experiment}.toml").read_text()
    found = {
        item
        for run in parse(text)
        for item in run.arguments.items()
        if published(experiment, dict([item]))
    }
    assert found == set(PUBLISHED[experiment])
