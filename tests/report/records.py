"""Records as a store reads them, made up."""

from subspace_nn.report.findings import Findings, Sweep
from subspace_nn.runs.record import run_id
from subspace_nn.runs.run import Run

HARDWARE = {
    "hardware": "a <fast> machine",
    "torch": "2.13.0",
    "python": "3.11",
    "commit": "abcdef1",
}
OLD = {"init": "2017", "scale": "none", "schedule": "constant", "lr": 3e-3, "dropout": 0.5}


def record(accuracy, *, D=21_840, **arguments):
    """A finished run of the task "mnist" that ends at an accuracy."""
    run = Run.of("mnist", {"epochs": 10, **arguments})
    dim = run.arguments["dim"]
    evaluations = [
        {
            "epoch": e,
            "test_accuracy": accuracy - 10 / e + 1,
            "train_loss": 1 / e,
            "seconds": 2.35 * e,
        }
        for e in range(1, 11)
    ]
    return {
        "id": run.id,
        "task": "mnist",
        "status": "done",
        "arguments": dict(run.arguments),
        "seconds": 60.0,
        "started": "2026-01-31T12:00:00+00:00",
        "environment": HARDWARE,
        "result": {
            "checkpoint_bytes": 360 + 4 * (D if dim == "full" else dim),
            "D": D,
            "dim": D if dim == "full" else dim,
            "test_accuracy": accuracy,
            "evaluations": evaluations,
            "loss_curve": [1 / (i + 1) for i in range(20)],
            "steps": 2350,
        },
    }


def curve(base, dims, seeds=(0, 1, 2), **arguments):
    """One net in several d: accuracies go up with d, and by a point from seed to seed."""
    return [
        record(base + 2 * i + seed, dim=dim, seed=seed, **arguments)
        for i, dim in enumerate(dims)
        for seed in seeds
    ]


def full(accuracy, model, D, **arguments):
    """A net with all weights free, three seeds."""
    return [
        record(accuracy + s / 10, D=D, model=model, dim="full", projection="identity", seed=s,
               **arguments)
        for s in (0, 1, 2)
    ]  # fmt: skip


def own(dim, seed, figure, **others):
    """A run of a task of the user's own, which reports neither D nor epochs."""
    arguments = {"dim": dim, "seed": seed, **others}
    return {
        "id": run_id("houses:train", arguments),
        "task": "houses:train",
        "status": "done",
        "arguments": arguments,
        "seconds": 1.5,
        "started": "2026-01-31T12:00:00+00:00",
        "environment": {"hardware": "a laptop"},
        "result": {"rmse": figure, "note": "text"},
        "command": "subspace-nn sweep --task houses:train",
    }


def findings(**sweeps):
    """Sweeps of made-up records, by name."""
    names = {name: name.replace("_", "-") for name in sweeps}
    return Findings.of([(Sweep(names[name], names[name]), sweeps[name]) for name in sweeps])


CONV_OLD = curve(80.0, [100, 1000, 3000], **OLD, projection="orthonormal")
CONV_NEW = curve(90.0, [100, 1000, 3000])
CONV_FULL = full(98.0, "conv", 21_840)
FC_NEW = curve(85.0, [100, 3369], model="fc", D=199_210)
ZOO = full(95.0, "conv-6-6", 3369, scale="none", lr=3e-3, schedule="constant")
KINDS = curve(88.0, [100, 1000], projection="sparse") + curve(
    87.0, [100, 1000], projection="hadamard"
)
#: At d = 100 the default is best, at 1,000 two points behind, and one lr has no record there.
RATES = [
    record(accuracy, epochs=2, lr=lr, dim=dim, projection="sparse", seed=seed)
    for dim, at in ((100, {0.1: 80.0, 0.4: 85.0}), (1000, {0.1: 90.0, 0.4: 88.0, 0.8: 70.0}))
    for lr, accuracy in at.items()
    for seed in (0, 1)
]
OWN = [own(dim, seed, 10 / dim + seed / 10) for dim in (2, 4, 8) for seed in (0, 1)]
FAILED = {
    **own(99, 0, 0.0),
    "result": {},
    "status": "failed",
    "error": "Traceback …\nValueError: no such house\n",
}
