"""What a subspace trains, tensor by tensor, as a table."""

import math
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from subspace_nn.subspace import saving

if TYPE_CHECKING:
    from subspace_nn.subspace.wrapper import Subspace


def summary(net: "Subspace") -> Group:
    """The tensors of a net, and how many numbers train.

    Args:
        net: the net.

    Returns:
        A table with a row for each tensor, and four lines below it.
    """
    table = Table("Tensor", "Role", header_style="bold", title=type(net.module).__name__)
    for name in ("Shape", "Weights", "σ"):
        table.add_column(name, justify="right")
    for entry in net.layout.entries:
        words = "θ" if len(entry.slots) == 1 else f"θ, tied at {len(entry.slots)} places"
        _row(table, entry.name, words, entry.shape, f"{net.sigma[entry.name]:.4g}")
    parameters = dict(net.module.named_parameters())
    extra = {name: parameters[name] for name in net.layout.extra}
    frozen = {n.removeprefix("module."): p for n, p in saving.frozen(net).items() if p.numel()}
    for role, tensors in (("trained as it is", extra), ("held", frozen)):
        for name, tensor in tensors.items():
            _row(table, name, role, tensor.shape, "")
    for name, buffer in net.module.named_buffers():
        _row(table, name, "buffer", buffer.shape, "")
    added = sum(p.numel() for p in extra.values())
    held = sum(p.numel() for p in frozen.values())
    trained, total = net.dim + added, net.D + added + held
    more = f", {added:,} as they are" if added else ""
    share = f"{100 * trained / total:.4g} % of {total:,}"
    kind = net.projection.label.partition("/")[0]
    stages = f", {net.stages:,} stages" * (net.stages > 1)
    stored = net.stored
    parts = ", ".join(f"{count:,} {part}" for part, count in stored.items())
    lines = (
        f"Trained: {trained:,} numbers, {share} ({net.dim:,} in ω{more})",
        f"θ: D = {net.D:,} weights, D/d = {net.D / net.dim:,.1f}, {kind}, seed {net.seed}{stages}",
        f"Held: {held:,} weights",
        f"A file holds: {sum(stored.values()):,} numbers ({parts})",
    )
    return Group(table, *map(Text, lines))


def _row(table: Table, name: str, role: str, shape: tuple[int, ...], sigma: str) -> None:
    cells = (" × ".join(map(str, shape)) or "1", f"{math.prod(shape):,}", sigma)
    table.add_row(Text(name), Text(role), *cells)
