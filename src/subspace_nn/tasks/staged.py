"""Stages in a training: another random subspace every n steps."""

from collections.abc import Callable
from typing import Any

import torch

from subspace_nn.common.checks import require, whole
from subspace_nn.common.errors import InputError
from subspace_nn.subspace.wrapper import Subspace, stage_problems
from subspace_nn.tasks.resumed import Resumed


class Staged(Resumed, torch.optim.Adam):
    """Adam for a subspace that is drawn again every n steps: the net's `next_stage`.

    (With n small, the random bases descent of Gressmann, Eaton-Rosen and Luschi, "Improving neural
    network training in low dimensional random bases", 2020.) What trains is d numbers at any time.
    Adam's mean of the gradient has no meaning in other directions and is forgotten; of the squares
    one number remains, their mean, for in a random subspace all directions are alike.

    A checkpoint holds d numbers for each stage. From K·d > D on, the D weights themselves take less
    room: wrap what `net.merge()` returns.

    Args:
        net: the subspace; what `train` adds to its parameters is trained all the time.
        every: steps of a stage.
        lr: as for Adam.
        betas: as for Adam.
        seeds: called where a stage begins: the seed of its P; None, the default, for that of
            `next_stage`.

    Attributes:
        stage: number of stages that have ended.

    Raises:
        InputError: if the net is no `Subspace`, or cannot have stages; or `every` is no whole
            number of at least 1.

    Example:
        >>> net = Subspace(torch.nn.Linear(8, 1), dim=3)
        >>> optimizer = Staged(net, every=10, lr=0.1)
        >>> x = torch.linspace(-1, 1, 40).view(5, 8)
        >>> for _ in range(40):
        ...     def closure():
        ...         optimizer.zero_grad()
        ...         loss = (net(x) - x.sum(1, keepdim=True)).square().mean()
        ...         loss.backward()
        ...         return loss
        ...     _ = optimizer.step(closure)
        >>> net.stages, net.stored
        (4, {'omega': 3, 'stages': 9})
    """

    kept = ("stage", "_done")

    def __init__(
        self,
        net: Any,
        every: int,
        *,
        lr: float = 0.4,
        betas: tuple[float, float] = (0.9, 0.999),
        seeds: Callable[[], int] | None = None,
    ) -> None:
        if not isinstance(net, Subspace):
            raise InputError(f"Stages are for a Subspace, got a {type(net).__name__}.")
        require(stage_problems(net), whole("every", every, 1))
        super().__init__(net.parameters(), lr=lr, betas=betas)
        self._net, self._every, self._done = net, every, 0
        self._seeds = seeds
        self.stage = 0

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; before it, begin the next stage where one has ended.

        Args:
            closure: computes the loss and its gradient. None if that was done before, which is
                refused where a stage begins: the gradient would be of the last one.

        Returns:
            The loss.

        Raises:
            InputError: if there is no closure where a stage begins.
        """
        over = self._done > 0 and self._done % self._every == 0
        if over and self._is_finite():  # otherwise there is nothing to go on
            if closure is None:
                raise InputError("Stages need step(closure): the gradient is that of a new P.")
            self._net.next_stage(None if self._seeds is None else self._seeds())
            self.stage += 1
            if state := self.state.get(self._net.omega):
                state["exp_avg"].zero_()
                state["exp_avg_sq"].fill_(state["exp_avg_sq"].mean())
        self._done += 1
        return super().step(closure)

    @torch.no_grad()
    def _is_finite(self) -> bool:
        """Whether another stage can start at θ."""
        return bool(self._net.theta().isfinite().all())
