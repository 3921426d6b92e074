# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The conv net in small subspaces
#
# In 2017 Sam Greydanus [asked](https://greydanus.github.io/2017/10/30/subspace-nn/) whether a good
# classifier of handwritten digits needs more than 100,000 free parameters. He did not shrink the
# net. He let its weights move in a few directions only: θ = Pω, where P is a fixed random matrix
# and ω has 3, 10, 30, … numbers. Only these numbers are trained.
#
# His net is PyTorch's MNIST example: two convolutions, two linear layers, 21,840 weights. This
# notebook trains it in subspaces with this package.
#
# By default the notebook uses a tenth of the images and three epochs, which takes seconds. With
# the environment variable `SUBSPACE_NN_NOTEBOOK=full` it repeats the experiment of 2017: all
# images, 10 epochs.

# %%
import os

import matplotlib.pyplot as plt
import torch
from IPython.display import Markdown

import subspace_nn as sn
from subspace_nn import models
from subspace_nn.tasks.classifier import fit
from subspace_nn.tasks.data import Dataset, Split, mnist
from subspace_nn.tasks.recipe import Recipe

torch.set_num_threads(1)
SMALL = os.environ.get("SUBSPACE_NN_NOTEBOOK", "small") != "full"
EPOCHS = 3 if SMALL else 10
DIMS = [10, 100, 1000] if SMALL else [3, 10, 30, 100, 300, 1000]


def part(split, n):
    return Split(split.images[:n], split.labels[:n])


digits = mnist()
if SMALL:
    digits = Dataset("a tenth", part(digits.train, 6000), part(digits.test, 1000), "")
print(f"{len(digits.train.labels):,} images to train on, {len(digits.test.labels):,} to test on")

# %% [markdown]
# ## One subspace
#
# `Subspace` takes any module. Its only parameter is ω.

# %%
net = sn.Subspace(models.build("conv"), dim=100, seed=0)
[(name, tuple(parameter.shape)) for name, parameter in net.named_parameters()]

# %% [markdown]
# The weights are θ0 + σ√(D/d) ⊙ Pω: a fresh initialisation plus a step, measured in standard
# deviations of that initialisation. That is why one learning rate serves every d. In 2017 the
# first direction of P was the initialisation itself, P came from a QR decomposition, and the
# learning rate was 0.003 for every d.
#
# ## Every dimension
#
# The last net is the plain module with all weights free and the learning rate of 2017.


# %%
def train(dim):
    """Train a net; returns it and its history."""
    net = models.build("conv")
    if dim == "full":
        return net, fit(net, digits, Recipe(epochs=EPOCHS, lr=3e-3))
    net = sn.Subspace(net, dim=dim, seed=0)
    return net, fit(net, digits, Recipe(epochs=EPOCHS))


torch.manual_seed(0)  # the plain module draws its initialisation from PyTorch
trained = {dim: train(dim) for dim in [*DIMS, "full"]}
histories = {dim: history for dim, (_, history) in trained.items()}

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
for shade, (dim, history) in enumerate(histories.items()):
    colour = plt.cm.viridis(shade / len(histories))
    epochs = [e.epoch for e in history.evaluations]
    left.plot(epochs, [e.train_loss for e in history.evaluations], "o-", color=colour, label=dim)
    right.plot(epochs, [e.test_accuracy for e in history.evaluations], "o-", color=colour)
ticks = range(1, EPOCHS + 1)
left.set(xlabel="epoch", xticks=ticks, ylabel="nats", title="Training loss")
right.set(xlabel="epoch", xticks=ticks, ylabel="%", ylim=(0, 100), title="Test accuracy")
figure.legend(title="d", loc="center left", bbox_to_anchor=(1, 0.5))
figure.tight_layout()

# %% [markdown]
# ## Comparison with 2017
#
# Values with ~ are read off the plot of the post, after 10 epochs, to about two points.

# %%
PUBLISHED = {3: "~9", 10: "~13", 30: "~31", 100: "~54", 300: "~78", 1000: "~89", "full": "98.5"}
rows = [
    f"| {dim} | {PUBLISHED[dim]} | {history.evaluations[-1].test_accuracy:.1f} |"
    for dim, history in histories.items()
]
Markdown("\n".join(["| d | 2017, % | here, % |", "| ---: | ---: | ---: |", *rows]))

# %% [markdown]
# A trained subspace is a small file: ω and a seed, from which P and θ0 are recomputed.

# %%
net, _ = trained[100]
net.save("omega.safetensors")
size = os.path.getsize("omega.safetensors")
os.remove("omega.safetensors")
print(f"{size:,} bytes for d = {net.dim}; the {net.D:,} weights would take {4 * net.D:,}")

# %% [markdown]
# The sweeps `conv-small-2017` and `conv-large-2017` repeat the
# experiments of 2017 with the original projection and recipe; `subspace-nn sweep` runs them.
