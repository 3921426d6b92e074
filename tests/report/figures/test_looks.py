"""Pictures of one net."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

from subspace_nn import models
from subspace_nn.report.figures import looks
from subspace_nn.subspace.wrapper import Subspace
from subspace_nn.tasks.own import Problem
from subspace_nn.tasks.subject import Subject


def subject(module, inputs, targets, dim=5, **more):
    net = Subspace(module, dim).eval()
    with torch.no_grad():
        net.omega.normal_(generator=torch.Generator().manual_seed(0))
    return Subject(net, Problem(net, [], [(inputs, targets)], **more))


def digits(n=40):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n, 1, 28, 28, generator=generator), torch.arange(n) % 10


def test_a_net_of_the_package_has_all_pictures():
    found = looks.pictures(subject(models.build("conv"), *digits()))
    assert found.keys() == {"wrong", "confusion", "filters", "loss"}


def test_a_regression_has_the_loss_alone():
    x = torch.randn(20, 7, generator=torch.Generator().manual_seed(0))
    found = looks.pictures(subject(nn.Linear(7, 1), x, x[:, :1], dim=1, loss=mse_loss))
    assert found.keys() == {"loss"}


def test_the_surest_mistakes_come_first_with_both_answers():
    outputs = torch.tensor([[3.0, 0.0], [0.0, 9.0], [0.0, 1.0], [0.0, 5.0]])
    figure = looks.wrong(torch.zeros(4, 28, 28), outputs, torch.tensor([0, 0, 0, 1]))
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["1, not 0", "1, not 0"]
    assert figure.get_suptitle().startswith("2 of 4 wrong")


def test_confusions_are_counted_by_right_class_and_answer():
    outputs = torch.eye(3)[torch.tensor([0, 1, 1, 2])]
    figure = looks.confusion(outputs, torch.tensor([0, 1, 2, 2]))
    axes = figure.axes[0]
    cells = {t.get_position(): t.get_text() for t in axes.texts}
    assert cells == {(0, 0): "1", (1, 1): "1", (1, 2): "1", (2, 2): "1"}
    assert axes.get_title() == "75.00 % of 4 right"


def test_filters_are_those_of_the_weights():
    net = subject(models.build("conv"), *digits()).net
    figure = looks.filters(net)
    before, after, moved = (figure.axes[row * 10].images[0].get_array() for row in range(3))
    weight = net.merge().conv1.weight.detach()[0, 0].numpy()
    assert np.allclose(after, weight)
    assert np.allclose(after - before, moved, atol=1e-6)


def test_a_net_that_sees_no_images_has_no_filters():
    net = Subspace(nn.Linear(7, 3), 5)
    with pytest.raises(ValueError, match="sees no images"):
        looks.filters(net)


def test_a_layer_behind_an_embedding_has_no_filters():
    net = nn.Sequential(nn.Embedding(5, 16), nn.Flatten(), nn.Linear(64, 3))
    words = torch.arange(20).reshape(5, 4) % 5
    assert "filters" not in looks.pictures(subject(net, words, words[:, 0] % 3))


@pytest.mark.parametrize("projection", ["hashed", "orthonormal"])
def test_the_loss_is_that_of_theta0_and_of_the_net_where_they_are(projection):
    inputs, targets = digits()
    net = Subspace(models.build("fc-16"), 5, projection).eval()
    with torch.no_grad():
        net.omega.add_(0.1)
    one = Subject(net, Problem(net, [], [(inputs, targets)]))
    before = net.omega.detach().clone()
    figure = looks.loss(one)
    assert torch.equal(net.omega, before)
    axes = figure.axes[0]
    assert [(t.get_text(), t.xy) for t in axes.texts] == [("θ0", (0, 0)), ("trained", (1, 0))]
