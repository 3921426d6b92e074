"""Options that `sweep` and `measure` share: the engine and its workers."""

from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Parameter

from subspace_nn.cli._app import gather
from subspace_nn.common.checks import require, whole
from subspace_nn.common.errors import InputError


@Parameter(name="*")
@dataclass(frozen=True)
class Workers:
    """An engine and its settings, as typed."""

    engine: Annotated[
        str, Parameter(help="loky (processes on this machine), serial, dask, ray, slurm.")
    ] = "loky"
    jobs: Annotated[int, Parameter(help="Workers; -1 is one per core.")] = -1
    address: Annotated[
        str | None,
        Parameter(
            help="Address of a running dask or ray cluster; a local one is started if not given."
        ),
    ] = None
    engine_option: Annotated[
        list[str] | None,
        Parameter(
            help="Requirement of one run: partition=gpu or time=120 for slurm, num_cpus=2 for "
            "ray, GPU=1 for dask. Can be repeated."
        ),
    ] = None

    def arguments(self) -> dict[str, Any]:
        """Check the options, and turn them into arguments of `sweep` and `measure`.

        Returns:
            Keyword arguments: engine, address, jobs, options.

        Raises:
            InputError: if jobs is not a number of workers, or an option is not name=value.
        """
        checked = gather(jobs=self._jobs, options=self._options)
        return {"engine": self.engine, "address": self.address, **checked}

    def _jobs(self) -> int:
        if self.jobs != -1:
            require(whole("jobs", self.jobs, 1, 10_000))
        return self.jobs

    def _options(self) -> dict[str, str | float]:
        words = self.engine_option or []
        if wrong := [word for word in words if "=" not in word]:
            raise InputError(*(f"--engine-option: expected name=value, got {w!r}." for w in wrong))
        pairs = (word.partition("=") for word in words)
        return {name: _number(value) for name, _, value in pairs}


def _number(text: str) -> str | float:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
