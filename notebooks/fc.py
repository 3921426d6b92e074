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
# # The fully connected net, old recipe and new
#
# “Interestingly, I tried the same thing with a fully connected model and obtained nearly identical
# curves”, says the [post of 2017](https://greydanus.github.io/2017/10/30/subspace-nn/) after its
# conv net. The fully connected net has 784 → 200 → 200 → 10 units and 199,210 weights, nine times
# as many as the conv net. If the accuracy of a subspace depended on the number of weights, its
# curves would differ.
#
# This notebook trains it twice in each subspace: as in 2017, and with the recipe of this package.
# By default it uses a tenth of the images and three epochs. With the environment variable
# `SUBSPACE_NN_NOTEBOOK=full` it uses all images and 10 epochs; the old recipe with d = 1000 then
# needs about 10 GB of memory for its matrix.

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
DIMS = [3, 10, 30, 100] if SMALL else [3, 10, 30, 100, 300, 1000]


def part(split, n):
    return Split(split.images[:n], split.labels[:n])


digits = mnist()
if SMALL:
    digits = Dataset("a tenth", part(digits.train, 6000), part(digits.test, 1000), "")
print(f"{len(digits.train.labels):,} images to train on, {len(digits.test.labels):,} to test on")

# %% [markdown]
# ## The two recipes
#
# 2017: θ = Pω. The columns of P are orthonormal, and the first one points to the initialisation, a
# narrow normal distribution. ω starts at (‖θ‖, 0, …). Adam at a constant learning rate of 0.003.
#
# New: θ = θ0 + σ√(D/d) ⊙ Pω. P is a hash and needs no memory. ω starts at 0. Adam with a one-cycle
# learning rate, whose peak is 0.4 standard deviations of the initial weights per step.


# %%
def old(dim):
    net = models.build("fc")
    models.initialise_2017(net, seed=0)
    if dim != "full":
        net = sn.Subspace(net, dim, "orthonormal", seed=0, theta0="module", scale="none")
    return fit(net, digits, Recipe(EPOCHS, lr=3e-3, beta2=0.99, schedule="constant"))


def new(dim):
    net = models.build("fc")
    if dim == "full":
        return fit(net, digits, Recipe(epochs=EPOCHS, lr=3e-3))
    return fit(sn.Subspace(net, dim, seed=0), digits, Recipe(epochs=EPOCHS))


torch.manual_seed(0)  # the plain module draws its initialisation from PyTorch
DIMS.append("full")
histories = {"2017": {dim: old(dim) for dim in DIMS}, "new": {dim: new(dim) for dim in DIMS}}

# %% [markdown]
# ## All curves in one picture
#
# At the small size the old recipe ends before it has converged: its steps are small.

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True)
for axis, (recipe, by_dim) in zip(axes, histories.items(), strict=True):
    for shade, (dim, history) in enumerate(by_dim.items()):
        axis.plot(
            [e.epoch for e in history.evaluations],
            [e.test_accuracy for e in history.evaluations],
            "o-",
            color=plt.cm.viridis(shade / len(by_dim)),
            label=dim,
        )
    ticks = range(1, EPOCHS + 1)
    axis.set(xlabel="epoch", xticks=ticks, title=f"Recipe: {recipe}", ylim=(0, 100))
axes[0].set_ylabel("test accuracy, %")
axes[1].legend(title="d", loc="upper left", bbox_to_anchor=(1, 1))
figure.tight_layout()

# %% [markdown]
# ## Comparison with 2017
#
# The published values are read off the plot in its repository, after 10 epochs, to about two
# points.

# %%
PUBLISHED = {3: "~10", 10: "~12", 30: "~21", 100: "~51", 300: "~75", 1000: "~90", "full": "97.8"}
rows = [
    f"| {dim} | {PUBLISHED[dim]} | "
    + " | ".join(f"{by[dim].evaluations[-1].test_accuracy:.1f}" for by in histories.values())
    + " |"
    for dim in DIMS
]
Markdown(
    "\n".join(["| d | published, % | 2017, % | new, % |", "| ---: | ---: | ---: | ---: |", *rows])
)

# %% [markdown]
# These are single runs. The sweeps `fc-2017` and `fc-hashed` have
# five seeds per d; `subspace-nn sweep` runs them.
