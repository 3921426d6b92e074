"""Train a classifier of 28 × 28 images and keep its history."""

import copy
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own spelling
from torch import Tensor, nn

from subspace_nn.common.checks import require
from subspace_nn.common.errors import InputError
from subspace_nn.tasks.data import Dataset, Split
from subspace_nn.tasks.loop import find_device, seeded, steps
from subspace_nn.tasks.recipe import Method, Recipe
from subspace_nn.tasks.staged import Staged

#: Number of steps between two looks at the losses, which wait for the device.
_CHECK = 10
#: The weights are the best so far if the mean training loss of this many steps is the lowest.
_WINDOW = 50


@dataclass(frozen=True)
class Evaluation:
    """The state of a training at the end of an epoch.

    Attributes:
        epoch: number of epochs done.
        step: number of steps done.
        train_loss: mean cross-entropy over the epoch's batches, in nats; after a stop, over the
            last 50 steps; None if no step was done.
        test_loss: mean cross-entropy over the whole test set, in nats.
        test_correct: number of test images classified correctly.
        test_accuracy: the same as a percentage of the test set.
        seconds: since the start, evaluations included.
    """

    epoch: int
    step: int
    train_loss: float | None
    test_loss: float
    test_correct: int
    test_accuracy: float
    seconds: float


@dataclass
class History:
    """The course of a training.

    Attributes:
        steps: number of steps that the recipe asks for, or that were done if its time was up.
        losses: training loss of each step, in nats.
        evaluations: one per epoch; after an early stop, one more of the weights that were kept.
        stopped: why it ended early; None if it did not.
    """

    steps: int
    losses: list[float] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)
    stopped: str | None = None


@dataclass(frozen=True)
class Progress:
    """The progress of a training.

    Attributes:
        epoch: the epoch under way, from 1.
        step: number of steps done.
        steps: number of steps in total.
        loss: mean training loss of the last 50 steps.
        evaluation: the latest evaluation; None before the first.
    """

    epoch: int
    step: int
    steps: int
    loss: float
    evaluation: Evaluation | None


class DivergedError(InputError):
    """The loss is no longer a finite number; the module holds the best weights from before.

    Attributes:
        history: the course up to then.
    """

    def __init__(self, message: str, history: History) -> None:
        super().__init__(message)
        self.history = history


class InterruptedTraining(KeyboardInterrupt):  # an interrupt is no error
    """Ctrl-C was pressed; the module holds the best weights so far.

    Attributes:
        history: the course up to then.
    """

    def __init__(self, history: History) -> None:
        super().__init__(history.stopped)
        self.history = history


def fit(
    net: nn.Module,
    data: Dataset,
    recipe: Method = Recipe(),  # noqa: B008  # frozen
    *,
    seed: int = 0,
    device: str = "auto",
    clock: Callable[[], float] = time.perf_counter,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> History:
    """Train a classifier of 28 × 28 images and evaluate it on the whole test set each epoch.

    The data lie on the device as whole tensors. The order of the images comes from `bits`, the
    dropout from PyTorch's generator, both from the seed; no global state changes.

    Args:
        net: takes float images in [0, 1] of shape (n, 1, 28, 28), returns logits; moved to the
            device and trained in place.
        data: training and test set.
        recipe: how to train: `Recipe`, or `LBFGS` or `CMAES` of `subspace_nn.tasks.optimise`.
        seed: of the order of the images, of dropout, and of CMA-ES.
        device: "auto" (CUDA if available), "cpu", "cuda", "cuda:1", "mps".
        clock: measures the seconds that a recipe may take; wall time by default.
        on_progress: called every few steps and after each evaluation.

    Returns:
        The history; its last evaluation is that of the final weights.

    Raises:
        InputError: if a value of the recipe is out of range.
        DivergedError: if the loss is not finite. The best weights so far are restored (lowest
            mean training loss over 50 steps) and evaluated once more.
        InterruptedTraining: at Ctrl-C, likewise.
    """
    require(recipe.problems())
    where = find_device(device)
    net.to(where)
    with seeded(seed, where):
        loop = _Training(
            net,
            train=data.train.to(where),
            test=data.test.to(where),
            recipe=recipe,
            seed=seed,
            clock=clock,
            on_progress=on_progress,
        )
        return loop.run()


def count_correct(net: nn.Module, test: Split, batch_size: int = 1000) -> tuple[int, float]:
    """Count the images that a classifier gets right.

    Args:
        net: as for `fit`; in evaluation mode meanwhile.
        test: images and labels, on the net's device.
        batch_size: images per forward pass; it changes results by rounding only.

    Returns:
        Number of images classified correctly, and mean cross-entropy in nats.
    """
    was_training = net.training
    net.eval()
    correct, loss = 0, 0.0
    with torch.no_grad():
        for x, y in zip(test.images.split(batch_size), test.labels.split(batch_size), strict=True):
            logits = net(as_input(x))
            correct += int((logits.argmax(1) == y).sum())
            loss += float(F.cross_entropy(logits, y.long(), reduction="sum"))
    net.train(was_training)
    return correct, loss / len(test.labels)


def as_input(
    images: Tensor,  # (n, 28, 28) uint8
) -> Tensor:  # (n, 1, 28, 28) float32
    """Scale pixels to numbers from 0 to 1 and add a channel dimension.

    The memory format is `channels_last`, with which a step of the conv net takes about 0.6 of the
    time on a CPU: `benchmarks/memory_format.py`.

    Args:
        images: uint8, shape (n, 28, 28).

    Returns:
        float32, shape (n, 1, 28, 28).
    """
    return images.unsqueeze(-1).permute(0, 3, 1, 2).float().div_(255)


class _Training:
    """The state of one training: the loop, watched."""

    def __init__(
        self,
        net: nn.Module,
        *,
        train: Split,
        test: Split,
        recipe: Method,
        seed: int,
        clock: Callable[[], float],
        on_progress: Callable[[Progress], None],
    ) -> None:
        self.net, self.train, self.test = net, train, test
        self.recipe, self.seed, self.on_progress = recipe, seed, on_progress
        self.lengths = recipe.lengths(len(train.labels))
        self.history = History(steps=sum(self.lengths))
        self.optimizer = recipe.optimizer(net, seed, self.history.steps)
        self.scheduler = recipe.scheduler(self.optimizer, self.history.steps)
        self.unread: list[Tensor] = []
        self.stage = 0
        self.best: tuple[float, dict[str, Any]] = (float("inf"), self._snapshot())
        self.clock, self.start = clock, clock()

    def run(self) -> History:
        try:
            for epoch in range(len(self.lengths)):
                self._run_epoch(epoch)
                if self._is_late():
                    self.history.steps = self._done
                    break
        except KeyboardInterrupt:
            self._restore(f"interrupted after step {self._done}")
            raise InterruptedTraining(self.history) from None
        return self.history

    def _run_epoch(self, epoch: int) -> None:
        self.net.train()
        before = self._done
        batches = self._batches(epoch)
        for loss in steps(self.net, batches, F.cross_entropy, self.optimizer, self.scheduler):
            self.unread.append(loss)
            if len(self.unread) == _CHECK:
                self._check(epoch)
        self._check(epoch)
        # The last step's gradient, which no loss has shown yet, may have spoilt the weights.
        if not self._is_sound():
            self._stop_diverged(f"the weights stopped being finite at step {self._done}")
        self._evaluate(epoch + 1, self.history.losses[before:])
        self._report(epoch)

    def _batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        images, labels = self.train.images, self.train.labels
        for rows in self.recipe.rows(epoch, len(labels), self.seed, labels.device):
            if self._is_late():
                return
            yield as_input(images[rows]), labels[rows].long()

    def _is_late(self) -> bool:
        return self.recipe.seconds < float("inf") and self._seconds > self.recipe.seconds

    def _check(self, epoch: int) -> None:
        """Read the latest losses; remember the weights if they are the best so far."""
        self._follow()
        latest = torch.stack(self.unread).tolist() if self.unread else []
        self.unread.clear()
        for loss in latest:
            if not abs(loss) < float("inf"):
                self._stop_diverged(f"the loss became {loss} at step {self._done + 1}")
            self.history.losses.append(loss)
        recent = self._recent_loss()
        if recent < self.best[0] and self._is_sound():
            self.best = recent, self._snapshot()
        self._report(epoch)

    @property
    def _done(self) -> int:
        return len(self.history.losses)

    @property
    def _seconds(self) -> float:
        return self.clock() - self.start

    def _stop_diverged(self, what: str) -> None:
        self._restore(f"{what} of {self.history.steps}, {self.recipe.label}")
        raise DivergedError(
            f"Stopped: {self.history.stopped}. The best weights so far are kept. "
            f"{self.recipe.remedy}",
            self.history,
        )

    def _follow(self) -> None:
        """In another stage the ω from before are other weights: forget them."""
        stage = self.optimizer.stage if isinstance(self.optimizer, Staged) else 0
        if stage != self.stage:
            self.stage, self.best = stage, (float("inf"), self._snapshot())

    def _restore(self, why: str) -> None:
        self._follow()
        self.history.stopped = why
        self.net.load_state_dict(self.best[1])
        ends = itertools.accumulate(self.lengths)
        done = sum(end <= self._done for end in ends)
        self._evaluate(done, self.history.losses[-_WINDOW:])

    def _evaluate(self, epoch: int, losses: list[float]) -> None:
        correct, test_loss = count_correct(self.net, self.test)
        losses = losses if self.recipe.averages else losses[-1:]
        self.history.evaluations.append(
            Evaluation(
                epoch=epoch,
                step=self._done,
                train_loss=sum(losses) / len(losses) if losses else None,
                test_loss=test_loss,
                test_correct=correct,
                test_accuracy=100 * correct / len(self.test.labels),
                seconds=self._seconds,
            )
        )

    def _report(self, epoch: int) -> None:
        latest = self.history.evaluations[-1] if self.history.evaluations else None
        self.on_progress(
            Progress(
                epoch=epoch + 1,
                step=self._done,
                steps=self.history.steps,
                loss=self._recent_loss(),
                evaluation=latest,
            )
        )

    def _recent_loss(self) -> float:
        recent = self.history.losses[-_WINDOW:]
        return sum(recent) / len(recent) if recent else float("inf")

    def _is_sound(self) -> bool:
        return all(bool(p.isfinite().all()) for p in self.net.parameters())

    def _snapshot(self) -> dict[str, Any]:
        return copy.deepcopy(self.net.state_dict())
