"""The toy of Li et al. (2018), measured from 20 seeds: the answer is exactly 10.

    python -m evidence.measure_toy results/measure_toy.json

Each measurement makes the seeds of all its runs from its own: other projections, other initial
weights. About 20 trainings each, of 1,000 weights in d free parameters, by L-BFGS.
"""

import tempfile

from benchmarks import output
from subspace_nn.dimension import measure, question

SEEDS = 20


def main() -> None:
    """Measure, print, and write the JSON named on the command line."""
    rows = []
    for seed in range(SEEDS):
        with tempfile.TemporaryDirectory() as folder:
            found = measure(question("toy", seed=seed), folder, engine="serial")
        interval = [found.low, found.high]
        rows.append(
            {"seed": seed, "d_int": found.dim, "interval": interval, "runs": len(found.runs)}
        )
        print(rows[-1], flush=True)
    exact = sum(row["d_int"] == 10 and row["interval"] == [10, 10] for row in rows)
    print(f"{exact} of {SEEDS} are 10, interval 10 to 10")
    output.write(output.named(), "python -m evidence.measure_toy", exact=exact, results=rows)


if __name__ == "__main__":
    main()
