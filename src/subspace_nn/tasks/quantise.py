"""Quantisation-aware training: ω on a grid of a few levels, with a step that is learned."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from subspace_nn.common.checks import number, require, whole
from subspace_nn.common.errors import InputError
from subspace_nn.format.packing import MOST_LEVELS, lowest
from subspace_nn.subspace.wrapper import Subspace
from subspace_nn.tasks.resumed import Resumed

#: Shares of the training after which ω is on the grid, and after which the step is fixed.
WARM, FROZEN = 0.5, 0.9

#: Adam moves the logarithm of the step by its learning rate divided by this.
_SLOW = 100.0

#: Steps that are tried, in standard deviations of ω, when ω first goes to the grid.
_STEPS = torch.linspace(0.02, 2.5, 125, dtype=torch.float64, device="cpu").tolist()


class Quantised(Resumed, torch.optim.Adam):
    """Adam for a subspace whose ω is to lie on a grid of few levels.

        ω_k = s c_k,    c_k = round(v_k / s), between the lowest and the highest code

    The gradient at ω moves numbers v, the *latent* ones, as if rounding were the identity (the
    straight-through estimator: Bengio, Léonard and Courville, "Estimating or propagating gradients
    through stochastic neurons", 2013). The step s is trained, too (Esser et al., "Learned step
    size quantization", 2020). For the first half of the steps ω is not rounded; then s is the
    step nearest to ω in squares; after 90 % it stays. s is always a number of bfloat16.

    The net is on the grid after each step, so what is evaluated, or kept after an interruption, is
    what a file of dtype "coded" holds.

    With a price β, β Σ_k b(v_k / s) is added to the loss. b(c) is the number of bits of the code c,
    -log2 of its share among the present codes, and linear between codes: the entropy of the codes,
    paid by the bit.

    Args:
        net: the subspace; what `train` adds to its parameters is trained, and not rounded.
        levels: of the grid, from 2 to 256; codes are -2 … 2 for 5, -8 … 7 for 16.
        steps: of the whole training; the three parts are shares of it.
        price: of a bit, in units of the loss.
        lr: as for Adam.
        betas: as for Adam.

    Raises:
        InputError: if the net is no `Subspace`, or `levels`, `steps` or `price` is out of range.

    Example:
        >>> net = Subspace(torch.nn.Linear(8, 1), dim=6)
        >>> optimizer = Quantised(net, levels=3, steps=20)
        >>> x = torch.linspace(-1, 1, 40).view(5, 8)
        >>> for _ in range(20):
        ...     def closure():
        ...         optimizer.zero_grad()
        ...         loss = (net(x) - x.sum(1, keepdim=True)).square().mean()
        ...         loss.backward()
        ...         return loss
        ...     _ = optimizer.step(closure)
        >>> bool((net.omega.detach() / optimizer.grid).frac().eq(0).all())
        True
    """

    kept = ("_done", "_first", "_latent", "_log")

    def __init__(
        self,
        net: Any,
        levels: int,
        steps: int,
        *,
        price: float = 0.0,
        lr: float = 0.4,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        if not isinstance(net, Subspace):
            raise InputError(
                f"levels is for the ω of a Subspace, got a {type(net).__name__}. Leave levels out."
            )
        require(
            whole("levels", levels, 2, MOST_LEVELS),
            whole("steps", steps, 1),
            number("price", price, least=0),
        )
        self._log = torch.nn.Parameter(torch.zeros_like(net.omega[0].detach()))
        super().__init__([*net.parameters(), self._log], lr=lr, betas=betas)
        self._net, self._price, self._done = net, price, 0
        self._low, self._high = lowest(levels), lowest(levels) + levels - 1
        self._warm, self._frozen = int(WARM * steps), int(FROZEN * steps)
        self._first: float | None = None  # the step that s starts from
        self._latent = net.omega.detach().clone()

    @property
    def grid(self) -> float | None:
        """The step s; None as long as ω is not rounded."""
        if self._first is None:
            return None
        step = self._first * math.exp(float(self._log.detach()) / _SLOW)
        return float(torch.tensor(step).bfloat16())

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; afterwards ω is on the grid.

        Args:
            closure: computes the loss and its gradient; None if that was done before.

        Returns:
            The loss.
        """
        with torch.enable_grad():
            loss = None if closure is None else closure()
        omega = self._net.omega
        step = self.grid
        if omega.grad is not None and step is not None:
            self._add_gradients(omega.grad, step)
            omega.copy_(self._latent)
        super().step()
        self._done += 1
        self._latent = omega.detach().clone()
        self._settle()
        return loss

    def _add_gradients(self, gradient: Tensor, step: float) -> None:
        """Those of the logarithm of s, and of the price, which is added to ω's."""
        x = self._latent / step
        codes = x.round().clamp(self._low, self._high)
        if self._done < self._frozen:
            inside = (x >= self._low) & (x <= self._high)
            slope = torch.where(inside, codes - x, codes)
            self._log.grad = (gradient * slope).sum() * step / _SLOW
        else:
            self._log.grad = None
        if self._price:
            counts = torch.bincount(
                (codes - self._low).long(), minlength=self._high - self._low + 1
            )
            bits = -((counts + 1) / (counts + 1).sum()).log2().to(gradient.dtype)
            below = (x.floor().clamp(self._low, self._high - 1) - self._low).long()
            gradient += self._price / step * (bits[below + 1] - bits[below])

    def _settle(self) -> None:
        """Put ω on the grid, if it is to be there already."""
        if self._done < self._warm:
            return
        if self._first is None:
            self._first = self._nearest()
        step: Any = self.grid
        self._latent.clamp_((self._low - 0.5) * step, (self._high + 0.5) * step)
        codes = (self._latent / step).round().clamp(self._low, self._high)
        self._net.omega.copy_(codes * step)

    def _nearest(self) -> float:
        """The step with which rounding moves ω least."""
        omega = self._latent.double()
        size = float(omega.square().mean().sqrt())
        tried = [size * share for share in _STEPS] if size > 0 else [1.0]

        def moved(step: float) -> float:
            rounded = (omega / step).round().clamp(self._low, self._high) * step
            return float((rounded - omega).square().sum())

        return min(tried, key=moved)
