"""MNIST for experiments: choices are made on training images that are held out."""

import dataclasses
import functools

from subspace_nn.tasks.data import Dataset, Split
from subspace_nn.tasks.images import prepared


@functools.lru_cache(maxsize=2)  # a process trains many times on the same images
def mnist(held_out: int = 0) -> Dataset:
    """MNIST, or a part of its training set to train on and the rest to validate on.

    Args:
        held_out: number of training images, the last ones, in place of the test set; 0, the
            default, for the test set itself.

    Returns:
        The data set.
    """
    whole = prepared("mnist", "nothing", 60_000)
    if not held_out:
        return whole
    images, labels = whole.train.images, whole.train.labels
    train = Split(images[:-held_out], labels[:-held_out])
    return dataclasses.replace(
        whole, train=train, test=Split(images[-held_out:], labels[-held_out:])
    )
