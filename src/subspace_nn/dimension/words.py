"""A measurement's answer in words."""

from subspace_nn.common.numbers import spread
from subspace_nn.dimension.answer import Answer
from subspace_nn.dimension.catalogue import published
from subspace_nn.dimension.question import Question

_NOT_FOUND = {
    "unreachable": "not found: the full model does not reach the threshold",
    "budget": "not found: the budget went to {who}",
    "beyond": "not found: even the largest dimension to try falls short",
}


def summary(answer: Answer) -> dict[str, str]:
    """An answer in words.

    Args:
        answer: of a measurement.

    Returns:
        Values by name.
    """
    asked = answer.question
    full = spread(answer.full, answer.full_std, ".4g", ".2g")
    rows = {
        "full model": f"{asked.metric} {full}, n = {answer.full_n}",
        "threshold": f"{answer.threshold:.4g} ({_rule(asked)})",
    }
    if answer.baseline is not None:
        base = spread(answer.baseline, answer.baseline_std, ".4g", ".2g")
        rows["baseline"] = f"{asked.metric} {base}, n = {answer.baseline_n} ({asked.baseline})"
    if answer.dim is None:
        who = "the baseline and the full model" if answer.baseline_n else "the full model"
        rows["d_int"] = _NOT_FOUND[answer.stopped].format(who=who)
    else:
        confidence = f"{100 * asked.confidence:g} % interval"
        rows["d_int"] = f"{answer.dim:,}, {confidence} {answer.low:,} to {answer.high:,}"
        rows["D / d_int"] = f"{answer.bloat:,.1f} (D = {answer.D:,})"
    for value in published(asked):
        rows[value.source] = f"{value.dim:,}" + (f" ({value.note})" if value.note else "")
    if warnings := [_WARNINGS[doubt] for doubt in answer.doubts] + _direction(answer):
        rows["warning"] = ". ".join(warnings)
    rows["runs"] = f"{len(answer.runs)} ({answer.seconds / 60:.1f} min in total)"
    if answer.reused:
        rows["runs"] += f", {answer.reused} of them reused"
    if answer.left_out:
        rows["left out"] = ", ".join(f"{n} ({why})" for why, n in answer.left_out.items())
    rows["stopped"] = _STOPPED[answer.stopped].format(precision=f"{100 * asked.precision:g} %")
    return rows


_STOPPED = {
    "tight": "the interval is as narrow as requested ({precision})",
    "doubtful": "the interval is as narrow as requested ({precision}), but see the warning",
    "budget": "budget exhausted; rerun with a larger --budget to continue",
    "unreachable": "more runs would not help",
    "beyond": "rerun with a larger --most to continue",
}

_WARNINGS = {
    "falls": (
        "the mean falls as d grows, by more than noise: this is the last crossing, from which on "
        "every d reaches the threshold"
    ),
    "kinds": (
        "the results are of two kinds, as if some seeds fail: the interval may be too narrow. Look "
        "at 20 seeds of one d"
    ),
    "gain": "the full model's gain over the baseline may be noise, and a share of it with that",
}


def _direction(answer: Answer) -> list[str]:
    """A warning if the metric gets worse with d, as when a loss is taken as higher is better."""
    sign = 1 if answer.question.better == "higher" else -1
    means = [sign * point["mean"] for point in answer.points]
    if not means or means[0] <= max(sign * answer.full, sign * answer.threshold, *means[1:2]):
        return []
    other = "lower" if answer.question.better == "higher" else "higher"
    return [f"the smallest d beats the full model: did you mean --better {other}?"]


def _rule(asked: Question) -> str:
    if not asked.relative:
        return "absolute"
    if asked.kind == "gain":
        base = "the baseline" if asked.probe is None else f"{asked.probe:g}"
        return f"{100 * asked.threshold:g} % of the full model's gain over {base}"
    if asked.better == "higher":
        return f"{100 * asked.threshold:g} % of the full model's mean"
    return f"the full model's mean over {asked.threshold:g}"
