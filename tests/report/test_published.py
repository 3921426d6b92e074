"""Published figures belong to runs that are made here."""

import pytest

from subspace_nn import models
from subspace_nn.report.published import EXPERIMENTS, as_number, published
from subspace_nn.runs.sweep import parse

WITH_FIGURES = [name for name, experiment in EXPERIMENTS.items() if experiment.figures]


@pytest.mark.parametrize("experiment", WITH_FIGURES)
def test_every_published_figure_belongs_to_a_run_of_its_experiment(experiment, request):
    text = (request.config.rootpath / "experiments" / f"{experiment}.toml").read_text()
    found = {
        item
        for run in parse(text)
        for item in run.arguments.items()
        if isinstance(item[1], str | int) and published(experiment, dict([item]))
    }
    assert found == set(EXPERIMENTS[experiment].figures)


@pytest.mark.parametrize("model", EXPERIMENTS["tutorials"].parameters)
def test_printed_numbers_of_weights_stand_only_where_they_are_others(model):
    printed = EXPERIMENTS["tutorials"].parameters[model]
    assert int(printed.replace(",", "")) != sum(p.numel() for p in models.build(model).parameters())


@pytest.mark.parametrize(
    ("text", "number"), [("93.5", 93.5), ("~9", 9.0), ("99+", None), ("98-99", None), ("", None)]
)
def test_as_number(text, number):
    assert as_number(text) == number
