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
# # A small net, or a subspace of a big one?
#
# The tutorials of 2017 have one thing in common, says the
# [post](https://greydanus.github.io/2017/10/30/subspace-nn/): “they all use a LOT of parameters.”
# There are two ways to use fewer. One is a smaller net; the post trained four, its “MNIST lite”.
# The other is a subspace of a big net. This notebook trains both and plots test accuracy against
# free parameters.
#
# By default it uses a tenth of the images and three epochs. With the environment variable
# `SUBSPACE_NN_NOTEBOOK=full` it uses all images and 10 epochs.

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


def part(split, n):
    return Split(split.images[:n], split.labels[:n])


digits = mnist()
if SMALL:
    digits = Dataset("a tenth", part(digits.train, 6000), part(digits.test, 1000), "")
print(f"{len(digits.train.labels):,} images to train on, {len(digits.test.labels):,} to test on")

# %% [markdown]
# ## The tutorials' nets
#
# All nine nets, rebuilt in PyTorch. Two of the printed numbers do not follow from the
# architectures: Caffe's LeNet has 431,080 weights, TensorFlow's conv net 3,274,634.

# %%
TUTORIALS = {
    "tensorflow-softmax": ("7,850", "92"),
    "conv": ("21,840", "99.0"),
    "elite-cnn": ("113,386", "99+"),
    "mastery-cnn": ("149,674", "98.9"),
    "lasagne-cnn": ("160,362", "99+"),
    "caffe-cnn": ("366,030", "98.9"),
    "mastery-fc": ("623,290", "98"),
    "lasagne-fc": ("1,276,810", "98-99"),
    "tensorflow-cnn": ("3,274,625", "99.2"),
}


def weights(name):
    return sum(parameter.numel() for parameter in models.build(name).parameters())


rows = [
    f"| {name} | {printed} | {weights(name):,} | {accuracy} |"
    for name, (printed, accuracy) in TUTORIALS.items()
]
head = ["| net | parameters as printed | counted | accuracy as printed, % |"]
Markdown("\n".join([*head, "| --- | ---: | ---: | ---: |", *rows]))

# %% [markdown]
# ## “MNIST lite”
#
# The small nets, with all weights free and the learning rate of 2017.

# %%
LITE = {"conv-6-6": "95.6", "conv-8-16": "97.6", "fc-16": "94.5", "fc-32": "96.5"}

torch.manual_seed(0)  # a plain module draws its initialisation from PyTorch
small_nets = {
    name: fit(models.build(name), digits, Recipe(epochs=EPOCHS, lr=3e-3)).evaluations[-1]
    for name in LITE
}
rows = [
    f"| {name} | {weights(name):,} | {LITE[name]} | {last.test_accuracy:.1f} |"
    for name, last in small_nets.items()
]
head = ["| net | free parameters | 2017, % | here, % |", "| --- | ---: | ---: | ---: |"]
Markdown("\n".join(head + rows))

# %% [markdown]
# ## Big nets in subspaces
#
# The tutorial's conv net and the fully connected net of the post, in few dimensions. At the small
# size no net has converged.

# %%
DIMS = [100, 1000, 3369] if SMALL else [100, 300, 1000, 3369, 10_754]


def in_subspace(name, dim):
    net = sn.Subspace(models.build(name), dim, seed=0)
    return fit(net, digits, Recipe(epochs=EPOCHS)).evaluations[-1].test_accuracy


subspaces = {name: [in_subspace(name, dim) for dim in DIMS] for name in ("conv", "fc")}

# %%
figure, axis = plt.subplots(figsize=(7, 4.5))
for name, accuracies in subspaces.items():
    axis.plot(DIMS, accuracies, "o-", label=f"{name} in a subspace ({weights(name):,} weights)")
accuracies = [last.test_accuracy for last in small_nets.values()]
axis.plot([weights(name) for name in LITE], accuracies, "ks", label="small nets, all weights")
for name, accuracy in zip(LITE, accuracies, strict=True):
    axis.annotate(name, (weights(name), accuracy), xytext=(4, -12), textcoords="offset points")
axis.set(xscale="log", xlabel="free parameters", ylabel="test accuracy, %")
axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15))
figure.tight_layout()

# %% [markdown]
# The packaged sweeps, such as `subspace-nn sweep tutorials`, answer the same question for all nets
# of the tutorials, with several seeds; `subspace-nn report` draws them.
