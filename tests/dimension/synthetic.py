"""A task with a known answer, for measurements on every engine."""

import math
import time
from pathlib import Path

from subspace_nn import bits

D = 10_000


def accuracy(dim: int, answer: int) -> float:
    """Mean accuracy in percent; 90 % of the full model's from `answer` on."""
    return 100 / (1 + math.exp(-math.log(9) - 4 * math.log(dim / (answer - 0.5))))


def train(
    *, dim: int | str, seed: int, answer: int = 300, noise: float = 0.5, seconds: float = 0.0
) -> dict[str, float]:
    """A result that depends on the arguments alone."""
    time.sleep(seconds)
    mean = 100.0 if dim == "full" else accuracy(dim, answer)
    error = float(bits.normal(seed, f"synthetic/{dim}", 0, 1)) * noise
    return {"D": D, "test_accuracy": mean + error, "test_error": 100 - mean - error}


def probe(*, seed: int, mean: float = 60.0, noise: float = 0.5) -> dict[str, float]:
    """What a gain is counted from: without d, and without D."""
    return {"test_accuracy": mean + float(bits.normal(seed, "probe", 0, 1)) * noise}


def broken_probe(*, seed: int) -> dict[str, float]:
    """Fails."""
    del seed
    raise RuntimeError("no features")


def failing(*, dim: int | str, seed: int) -> dict[str, float]:
    """Fails in small dimensions."""
    if isinstance(dim, int) and dim < 100:
        raise RuntimeError(f"no luck with d = {dim}")
    return train(dim=dim, seed=seed)


def nameless(*, dim: int | str, seed: int) -> dict[str, float]:
    """Tells no D."""
    return {"test_accuracy": float(seed % 7 + (dim == "full"))}


def without_seed(*, dim: int) -> dict[str, float]:
    """Is always the same."""
    return {"D": D, "test_accuracy": float(dim)}


def bare(*, dim: int | str, seed: int) -> float:
    """Gives a figure without a name."""
    return train(dim=dim, seed=seed)["test_accuracy"]


def grown(*, dim: int | str, seed: int) -> dict[str, float]:
    """Is another model than it was when the full one was run."""
    return {**train(dim=dim, seed=seed), "D": D if dim == "full" else D + 1}


def single(*, dim: int | str, seed: int) -> dict[str, float]:
    """Has one weight."""
    return {"D": 1, "test_accuracy": 50.0 + seed % 3 + (dim == "full")}


def text(*, dim: int | str, seed: int) -> dict[str, float | str]:
    """Gives a metric that is no number."""
    return {"D": D, "test_accuracy": f"{dim} and {seed}"}


def slashed(*, dim: int | str, seed: int) -> dict[str, float]:
    """A metric with a name as loggers have it."""
    result = train(dim=dim, seed=seed)
    return {"D": D, "val/acc": result["test_accuracy"]}


def leaving(*, dim: int | str, seed: int) -> dict[str, float]:
    """Ends its process."""
    raise SystemExit(f"{dim} {seed}")


def two_lines(*, dim: int | str, seed: int) -> dict[str, float]:
    """Fails with a long message."""
    del dim, seed
    raise ValueError("the data\nare gone")


def own_name(*, d: int) -> dict[str, float]:
    """Calls d by another name."""
    return {"D": D, "test_accuracy": float(d)}


def layered(*, dim: int | str, seed: int, layers: tuple[int, ...] = (1, 2)) -> dict[str, float]:
    """Has an argument that JSON turns into a list."""
    del layers
    return train(dim=dim, seed=seed)


def open_to_all(*, dim: int | str, seed: int, **options: float) -> dict[str, float]:
    """Passes on what it is given."""
    return train(dim=dim, seed=seed, **options)


def solved(*, dim: int | str, seed: int) -> dict[str, float]:
    """Is solved in any dimension."""
    del dim
    return {"D": D, "test_accuracy": 90.0 + seed % 3}


def lucky(*, dim: int | str, seed: int) -> dict[str, float]:
    """Works or fails; the more often it works the larger d is."""
    chance = 1.0 if dim == "full" else accuracy(int(dim), 300) / 100
    works = bits.uniform(seed, f"lucky/{dim}", 0, 1)[0] < chance
    noise = float(bits.normal(seed, f"synthetic/{dim}", 0, 1)) * 0.1
    return {"D": D, "test_accuracy": (90.0 if works else 10.0) + noise}


def episodes(*, dim: int | str, seed: int) -> dict[str, float]:
    """Four of five episodes succeed from d = 40 on, all of them in the full model."""
    del seed
    score = 1.0 if dim == "full" else (3 + (int(dim) >= 40)) / 5
    return {"D": D, "score": score}


def logged(*, dim: int | str, seed: int, log: str) -> dict[str, float]:
    """Leaves a line in a file each time it runs."""
    with Path(log).open("a", encoding="utf-8") as file:
        file.write(f"{dim} {seed}\n")
    return train(dim=dim, seed=seed, seconds=0.2)
