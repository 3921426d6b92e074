"""One loop that trains a classifier and tells what happened."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own spelling
from torch import Tensor, nn

from subspace_nn import bits
from subspace_nn.common.errors import InputError, unknown_name
from subspace_nn.tasks.data import Dataset, Split

Schedule = Literal["one-cycle", "constant"]

DEVICES = ("auto", "cpu", "cuda", "mps")

#: Losses are read from the device, and progress told, once in so many steps.
_CHECK = 10
#: The training loss that decides which weights are the best so far is the mean of so many steps.
_WINDOW = 50


@dataclass(frozen=True)
class Recipe:
    """How to train: Adam with a one-cycle schedule.

    Attributes:
        epochs: passes over the training set, at least 1.
        batch_size: images a step; the last, smaller batch of an epoch is used too.
        lr: peak learning rate; in a `Subspace`, standard deviations of the initial weights per
            step.
        betas: Adam's decay rates; 2017 had (0.9, 0.99).
        schedule: "one-cycle" (Smith and Topin, "Super-convergence", 2018: up over the first 30 %
            of the steps from lr/25, then down to nearly nothing, both along a cosine) or
            "constant".
    """

    epochs: int = 5
    batch_size: int = 256
    lr: float = 0.4
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: Schedule = "one-cycle"


@dataclass(frozen=True)
class Evaluation:
    """The state of a training at the end of an epoch.

    Attributes:
        epoch: number of epochs done.
        step: number of steps done.
        train_loss: mean cross-entropy over the epoch's batches, in nats; after a stop, over the
            last 50 steps; None if no step was done.
        test_loss: mean cross-entropy over the whole test set, in nats.
        test_correct: test images classified right.
        test_accuracy: the same as a percentage of the whole test set.
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
    """What happened in a training.

    Attributes:
        steps: number of steps the recipe asks for.
        losses: training loss of each step done, in nats.
        evaluations: one for each epoch done; after a stop before the end, one more of the
            weights that were kept.
        stopped: why it ended early, if it did.
    """

    steps: int
    losses: list[float] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)
    stopped: str | None = None


@dataclass(frozen=True)
class Progress:
    """Where a training is.

    Attributes:
        epoch: the epoch under way, from 1.
        step: steps done.
        steps: steps there will be in all.
        loss: mean training loss of the last steps.
        evaluation: the latest, if there was one.
    """

    epoch: int
    step: int
    steps: int
    loss: float
    evaluation: Evaluation | None


class DivergedError(InputError):
    """The loss is no longer a finite number; the module holds the best weights from before.

    Attributes:
        history: what happened until then.
    """

    def __init__(self, message: str, history: History) -> None:
        super().__init__(message)
        self.history = history


class InterruptedTraining(KeyboardInterrupt):  # an interrupt is no error
    """Ctrl-C: the module holds the best weights so far.

    Attributes:
        history: what happened until then.
    """

    def __init__(self, history: History) -> None:
        super().__init__(history.stopped)
        self.history = history


def fit(
    net: nn.Module,
    data: Dataset,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: str = "auto",
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> History:
    """Train a classifier of 28 × 28 images and evaluate it on the whole test set each epoch.

    The data lie on the device as whole tensors. The order of the images comes from `bits`, that
    of the dropout from PyTorch's generator, both from the seed; no global state is changed.

    Args:
        net: takes float images in [0, 1] of shape (n, 1, 28, 28), returns logits; moved to the
            device and trained in place.
        data: training and test set.
        recipe: how to train.
        seed: of the order of the images and of dropout.
        device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", "mps".
        on_progress: called every few steps and after each evaluation.

    Returns:
        The history; its last evaluation is that of the final weights.

    Raises:
        DivergedError: if the loss is not finite. The best weights so far are restored (lowest
            mean training loss of 50 steps) and evaluated once more.
        InterruptedTraining: at Ctrl-C, likewise.
    """
    where = find_device(device)
    net.to(where)
    loop = _Loop(
        net,
        train=data.train.to(where),
        test=data.test.to(where),
        recipe=recipe,
        seed=seed,
        on_progress=on_progress,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return loop.run()


def count_correct(net: nn.Module, test: Split, batch_size: int = 1000) -> tuple[int, float]:
    """Count what a classifier gets right.

    Args:
        net: as for `fit`; put in evaluation mode for the while.
        test: images and labels, on the net's device.
        batch_size: images at a time; no figure depends on it but by rounding.

    Returns:
        Number of images classified right, and mean cross-entropy in nats.
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
    """Pixels as numbers from 0 to 1, with a channel dimension.

    The channel lies innermost in memory (`channels_last`), with which a step of the conv net
    takes about 0.6 of the time on a CPU: `benchmarks/memory_format.py`.

    Args:
        images: uint8, shape (n, 28, 28).

    Returns:
        float32, shape (n, 1, 28, 28).
    """
    return images.unsqueeze(-1).permute(0, 3, 1, 2).float().div_(255)


def find_device(name: str) -> torch.device:
    """The device of a name.

    Args:
        name: "auto", "cpu", "cuda", "cuda:1", "mps".

    Returns:
        The device; for "auto" CUDA where there is one, else the CPU.

    Raises:
        InputError: if the name is unknown or the machine has no such device.
    """
    kind = name.partition(":")[0]
    if kind not in DEVICES or name.startswith("auto:"):
        raise InputError(unknown_name("device", name, DEVICES))
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        # PyTorch's reasons can be a screen long; the first sentence says what is wrong.
        reason = reason.partition(". ")[0][:120].rstrip(".")
        raise InputError(
            f"Device {name!r} cannot be used here: {reason}. Use auto or cpu."
        ) from None
    return device


class _Loop:
    """The state of one training."""

    def __init__(
        self,
        net: nn.Module,
        *,
        train: Split,
        test: Split,
        recipe: Recipe,
        seed: int,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self.net, self.train, self.test = net, train, test
        self.recipe, self.seed, self.on_progress = recipe, seed, on_progress
        self.per_epoch = -(-len(train.labels) // recipe.batch_size)
        self.history = History(steps=recipe.epochs * self.per_epoch)
        self.optimizer = torch.optim.Adam(net.parameters(), lr=recipe.lr, betas=recipe.betas)
        self.scheduler = _schedule(self.optimizer, recipe, self.history.steps)
        self.unread: list[Tensor] = []
        self.best: tuple[float, dict[str, Any]] = (float("inf"), self._snapshot())
        self.start = time.perf_counter()

    def run(self) -> History:
        try:
            for epoch in range(self.recipe.epochs):
                self._run_epoch(epoch)
        except KeyboardInterrupt:
            self._restore(f"interrupted after step {self._done}")
            raise InterruptedTraining(self.history) from None
        return self.history

    def _run_epoch(self, epoch: int) -> None:
        self.net.train()
        n = len(self.train.labels)
        order = bits.permutation(self.seed, f"shuffle/{epoch}", n, self.train.labels.device)
        for batch in order.split(self.recipe.batch_size):
            x = as_input(self.train.images[batch])
            loss = F.cross_entropy(self.net(x), self.train.labels[batch].long())
            self.unread.append(loss.detach())
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.scheduler.step()
            if len(self.unread) == _CHECK:
                self._check(epoch)
        self._check(epoch)
        # The last step's gradient, which no loss has shown yet, may have spoilt the weights.
        if not self._is_sound():
            self._stop_diverged(f"the weights stopped being finite at step {self._done}")
        self._evaluate(epoch + 1, self.history.losses[-self.per_epoch :])
        self._tell(epoch)

    def _check(self, epoch: int) -> None:
        """Read the latest losses; remember the weights if they are the best so far."""
        latest = torch.stack(self.unread).tolist() if self.unread else []
        self.unread.clear()
        for loss in latest:
            if not abs(loss) < float("inf"):
                self._stop_diverged(f"the loss became {loss} at step {self._done + 1}")
            self.history.losses.append(loss)
        recent = self._recent_loss()
        if recent < self.best[0] and self._is_sound():
            self.best = recent, self._snapshot()
        self._tell(epoch)

    @property
    def _done(self) -> int:
        return len(self.history.losses)

    def _stop_diverged(self, what: str) -> None:
        self._restore(f"{what} of {self.history.steps}, lr {self.recipe.lr:g}")
        raise DivergedError(
            f"Stopped: {self.history.stopped}. The weights from before are kept. Try a smaller lr.",
            self.history,
        )

    def _restore(self, why: str) -> None:
        self.history.stopped = why
        self.net.load_state_dict(self.best[1])
        done = self._done // self.per_epoch
        self._evaluate(done, self.history.losses[-_WINDOW:])

    def _evaluate(self, epoch: int, losses: list[float]) -> None:
        correct, test_loss = count_correct(self.net, self.test)
        self.history.evaluations.append(
            Evaluation(
                epoch=epoch,
                step=self._done,
                train_loss=sum(losses) / len(losses) if losses else None,
                test_loss=test_loss,
                test_correct=correct,
                test_accuracy=100 * correct / len(self.test.labels),
                seconds=time.perf_counter() - self.start,
            )
        )

    def _tell(self, epoch: int) -> None:
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


def _schedule(
    optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    if recipe.schedule == "constant":
        return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=recipe.lr, total_steps=steps, cycle_momentum=False
    )
