"""Does `hashed` lose accuracy because its index map is affine instead of fully random?

    python -m evidence.index_maps results/index_maps.json        (about 25 minutes of one core)

Inside a block of d weights, `hashed` ties weight j to parameter (a j + c) mod d. `Permuted` takes a
random permutation of the d parameters in each block instead; signs and norms are the same. Both
train the same nets with the same initial weights, order of images and recipe, the defaults of
`subspace-nn train`; one seed makes P, the initial weights and the order.

Each training is written at once. A run that is in the file already is not repeated, and
`--limit N` stops after N new ones.
"""

import json
import statistics
import sys
from itertools import product
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from subspace_nn import Subspace, bits, models
from subspace_nn.common import environment
from subspace_nn.common.atomic import write_atomically
from subspace_nn.projections import Hashed, Needs, Projection
from subspace_nn.subspace.layout import Layout
from subspace_nn.tasks.classifier import fit
from subspace_nn.tasks.data import mnist

MODELS, DIMS, SEEDS = ("fc", "conv"), (30, 100, 1000), range(5)


@final
class Permuted(Projection):
    """`hashed` with a random permutation in each block of d weights in place of the affine map."""

    kind = "permuted"

    def __init__(self, D: int, dim: int, seed: int = 0) -> None:
        super().__init__(D, dim, seed)
        blocks = range(-(-D // dim))
        orders = [bits.permutation(seed, f"permuted/{block}", dim) for block in blocks]
        self.parameter = torch.cat(orders)[:D]
        counts = torch.bincount(self.parameter, minlength=dim).double()
        self.entry = bits.signs(seed, "hashed/sign", 0, D) * counts.rsqrt()[self.parameter]

    def stored_bytes(self) -> int:
        """Bytes of the parameter and the entry of each weight."""
        return self.parameter.nbytes + self.entry.nbytes

    def needs(self) -> Needs:
        """Seven vectors of D numbers of 8 bytes."""
        return Needs.linear(self.D)

    def _matvec(self, omega: Tensor) -> Tensor:
        return omega.index_select(-1, self.parameter) * self.entry.to(omega.dtype)

    def _rmatvec(self, gradient: Tensor) -> Tensor:
        wide = gradient.to(torch.promote_types(gradient.dtype, torch.float32))
        sums = wide.new_zeros((*gradient.shape[:-1], self.dim))
        sums.index_add_(-1, self.parameter, wide * self.entry.to(wide.dtype))
        return sums.to(gradient.dtype)


MAPS: dict[str, type[Projection]] = {"affine": Hashed, "permuted": Permuted}


def main() -> None:
    """Train what is missing in the file named on the command line, and print the table."""
    torch.set_num_threads(1)
    path = Path(sys.argv[1])
    limit = int(sys.argv[3]) if sys.argv[2:3] == ["--limit"] else None
    runs: list[dict[str, Any]] = json.loads(path.read_bytes())["runs"] if path.exists() else []
    done = {(run["model"], run["dim"], run["seed"], run["map"]) for run in runs}
    missing = [key for key in product(MODELS, DIMS, SEEDS, MAPS) if key not in done]
    for model, dim, seed, name in missing[:limit]:
        accuracy = train(model, dim, seed, MAPS[name])
        runs.append({"model": model, "dim": dim, "seed": seed, "map": name, "accuracy": accuracy})
        write(path, runs)
    table(runs)


def train(model: str, dim: int, seed: int, kind: type[Projection]) -> float:
    """Train one net with the default recipe.

    Args:
        model: a net of the package.
        dim: number of free parameters d.
        seed: of P, the initial weights and the order of the images.
        kind: of the projection.

    Returns:
        Test accuracy after the last epoch, in per cent.
    """
    module = models.build(model)
    net = Subspace(module, dim, kind(Layout.of(module).D, dim, seed))
    return fit(net, mnist(), seed=seed, device="cpu").evaluations[-1].test_accuracy


def write(path: Path, runs: list[dict[str, Any]]) -> None:
    """Write all runs so far.

    Args:
        path: of the JSON file.
        runs: one dictionary a training.
    """
    command = f"python -m evidence.index_maps {path}"
    content = {"command": command, "environment": environment.describe(), "runs": runs}
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())


def table(runs: list[dict[str, Any]]) -> None:
    """Print the rows of the page, mean ± standard deviation, with the paired difference.

    Args:
        runs: one dictionary a training.
    """
    for model, dim in product(MODELS, DIMS):
        found = {
            name: {
                run["seed"]: run["accuracy"]
                for run in runs
                if (run["model"], run["dim"], run["map"]) == (model, dim, name)
            }
            for name in MAPS
        }
        both = sorted(set(found["affine"]) & set(found["permuted"]))
        if len(both) > 1:
            columns = [[found[name][seed] for seed in both] for name in MAPS]
            columns.append([there - here for here, there in zip(*columns, strict=True)])
            cells = [f"{statistics.mean(c):.2f} ± {statistics.stdev(c):.2f}" for c in columns]
            print(f"| {model} | {dim} | {' | '.join(cells)} | {len(both)} |")


if __name__ == "__main__":
    main()
