"""The tables of docs/benchmarks.md, from the benchmarks' results."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from subspace_nn.common.numbers import brief
from subspace_nn.report.document import Table

#: Goals for the ratio of a step in the subspace to the plain one, by net and kind.
GOALS = {
    ("conv", "hashed"): 1.02, ("conv", "hadamard"): 1.15, ("conv", "fastfood"): 1.15,
    ("fc", "hashed"): 1.0, ("fc", "hadamard"): 1.15, ("fc", "fastfood"): 1.25,
    ("transformer", "hashed"): 1.03,
}  # fmt: skip

Row = Mapping[str, Any]


def _range(row: Row) -> str:
    low, high = row["ratio_quartiles"]
    return f"{low:.2f} to {high:.2f}"


def steps(content: Mapping[str, Any]) -> list[Table]:
    """Whole training steps.

    Args:
        content: of step_time.json.

    Returns:
        One table.
    """
    rows = []
    for row in content["results"]:
        goal = GOALS.get((row["model"].partition(",")[0], row["projection"]))
        rows.append([
            row["model"], row["projection"], f"{row['dim']:,}", brief(row["plain_ms"], 3),
            brief(row["subspace_ms"], 3), f"{row['ratio']:.3f}", _range(row), f"{goal or '–'}",
        ])  # fmt: skip
    columns = [
        "net",
        "projection",
        "d",
        "plain, ms",
        "in the subspace, ms",
        "ratio",
        "quartiles",
        "goal",
    ]
    return [Table(columns, rows, words=2)]


def calls(content: Mapping[str, Any]) -> list[Table]:
    """Calls for inference.

    Args:
        content: of inference.json.

    Returns:
        One table.
    """
    rows = [
        [
            row["model"], row["called"], f"{row['images']:,}", f"{row['plain_us']:,.0f}",
            f"{row['us']:,.0f}", f"{row['ratio']:.3f}", _range(row),
        ]
        for row in content["results"]
    ]  # fmt: skip
    columns = ["net", "called", "images", "plain, µs", "in the subspace, µs", "ratio", "quartiles"]
    return [Table(columns, rows, words=2)]


def products(content: Mapping[str, Any]) -> list[Table]:
    """Both products of `hashed`, and the parts of their time.

    Args:
        content: of roofline.json.

    Returns:
        Two tables.
    """
    rows = [
        [
            row["product"], row["form"], row["pages"] or "–", f"{row['D']:,}", f"{row['dim']:,}",
            brief(row["ms"], 3), f"{row['copies']['ratio']:.2f}", f"{row['floor_copies']:g}",
            f"{row['clones']['ratio']:.2f}", f"{row['stored_bytes_per_weight']:.2f}",
            f"{row['peak_bytes_per_weight']:.2f}",
        ]
        for row in content["results"]
    ]  # fmt: skip
    columns = [
        "product", "form", "pages", "D", "d", "ms", "copies", "floor", "clones",
        "keeps, bytes a weight", "needs, bytes a weight",
    ]  # fmt: skip
    parts = [
        [row["part"], row["pages"] or "–", f"{row['ns_per_weight']:.2f}"]
        for row in content["parts"]
    ]
    return [
        Table(columns, rows, words=3),
        Table(["part", "pages", "ns a weight"], parts, words=2, caption="Where the time goes:"),
    ]


def transforms(content: Mapping[str, Any]) -> list[Table]:
    """Walsh-Hadamard transforms.

    Args:
        content: of fwht.json.

    Returns:
        One table: a line for each n, ratios of the forms.
    """
    found: dict[int, dict[str, Row]] = {}
    for row in content["results"]:
        found.setdefault(row["log2_n"], {})[row["form"]] = row
    forms = [form for form in next(iter(found.values())) if form != "in place"]
    rows = [
        [f"2^{n}", brief(by["in place"]["ms"], 3), *(f"{by[form]['ratio']:.2f}" for form in forms)]
        for n, by in found.items()
    ]
    return [Table(["n", "in place, ms", *forms], rows, words=1)]


def others(content: Mapping[str, Any]) -> list[Table]:
    """Projections of other packages.

    Args:
        content: of peers.json.

    Returns:
        One table.
    """
    rows = []
    for row in content["results"]:
        own = [row["peer"], row["ours"], f"{row['D']:,}", f"{row['dim']:,}"]
        if "not_run" in row:
            rows.append([*own, *["–"] * 7])
            continue
        held = [f"{row[f'{whose}_{what}_bytes'] / row['D']:,.1f}"
                for what in ("kept", "needed") for whose in ("other", "ours")]  # fmt: skip
        faster = f"{row['times_faster']['ratio']:.2f}"
        rows.append([*own, brief(row["other_ms"], 3), brief(row["ours_ms"], 3), faster, *held])
    columns = [
        "theirs", "ours", "D", "d", "theirs, ms", "ours, ms", "times faster",
        "keeps: theirs", "ours", "needs: theirs", "ours",
    ]  # fmt: skip
    return [Table(columns, rows, words=2)]


def set_ups(content: Mapping[str, Any]) -> list[Table]:
    """Setting up a subspace.

    Args:
        content: of setup.json.

    Returns:
        One table.
    """
    rows = [
        [
            row["kind"] + (" (computed)" if "computed_from_dim" in row else ""),
            brief(row["seconds"], 3),
            brief(row["peak_bytes"] / 1e6, 3),
            brief(row["kept_bytes"] / 1e6, 3),
        ]
        for row in content["results"]
    ]
    caption = f"{content['model']}, d = {content['dim']:,}"
    return [Table(["kind", "seconds", "needs, MB", "keeps, MB"], rows, caption=caption)]


def one_pass(content: Mapping[str, Any]) -> list[Table]:
    """Kinds by Numba against plain torch.

    Args:
        content: of one_pass.json.

    Returns:
        One table.
    """
    ratios = ("copies", "copies_in_torch", "torch_over_one_pass")
    rows = [
        [
            row["projection"], row["product"], f"{row['D']:,}", brief(row["ms"], 3),
            *(f"{row[name]['ratio']:.2f}" for name in ratios), f"{row['one_thread_over_two']:.2f}",
        ]
        for row in content["results"]
    ]  # fmt: skip
    columns = [
        "projection", "product", "D", "compiled, ms", "copies", "torch, copies",
        "torch over compiled", "one thread over two",
    ]  # fmt: skip
    return [Table(columns, rows, words=2)]


def large_steps(content: Mapping[str, Any]) -> list[Table]:
    """Memory and time of a step of a large model.

    Args:
        content: of layer_memory.json.

    Returns:
        One table.
    """
    rows = [
        [
            row["model"], row["way"], f"{row['bytes'] / 1e9:.2f}",
            f"{row['bytes_over_frozen']:.2f}", f"{row['seconds']:.2f}",
        ]
        for row in content["results"]
    ]  # fmt: skip
    return [Table(["model", "way", "peak, GB", "over frozen", "s a step"], rows, words=2)]


def served(content: Mapping[str, Any]) -> list[Table]:
    """A server of many adapters under load.

    Args:
        content: of serving.json.

    Returns:
        One table.
    """
    rows = [
        [
            f"{row['adapters']:,}", f"{row['requests_per_second']:.1f}", f"{row['p50_ms']:,}",
            f"{row['p99_ms']:,}", str(row["server_cpu_ms"]),
            f"{row['wrong']} of {row['requests']:,}", f"{row['server_MB']:,}",
        ]
        for row in content["results"]
    ]  # fmt: skip
    columns = [
        "adapters", "requests a second", "median, ms", "p99, ms", "server's CPU, ms a request",
        "wrong", "server, MB",
    ]  # fmt: skip
    caption = (
        f"{content['clients']} clients; load average of the machine {content['load_average']:.0f}"
    )
    return [Table(columns, rows, caption=caption)]


def on_a_gpu(content: Mapping[str, Any]) -> list[Table]:
    """Products and steps on a GPU.

    Args:
        content: of gpu-h200.json.

    Returns:
        Two tables.
    """
    products = [
        [
            f"{row['D']:,}", row["kind"], row["product"], row["form"], f"{row['ms']:.2f}",
            f"{row['ratio']:.2f}", str(row["rounds"]),
        ]
        for row in content["products"]
    ]  # fmt: skip
    steps_ = [
        [
            row["net"], f"{row['D']:,}", row["form"], f"{row['ms']:.2f}", f"{row['ratio']:.2f}",
            f"{row['held_bytes'] / 1e9:.2f}", f"{row['step_bytes'] / 1e9:.2f}", str(row["rounds"]),
        ]
        for row in content["steps"]
    ]  # fmt: skip
    columns = ["net", "D", "weights", "ms", "over plain", "held, GB", "in a step, GB", "rounds"]
    return [
        Table(["D", "kind", "product", "form", "ms", "copies of θ", "rounds"], products, words=4),
        Table(columns, steps_, words=3),
    ]


def batched(content: Mapping[str, Any]) -> list[Table]:
    """Several seeds as one training.

    Args:
        content: of batched-h200.json.

    Returns:
        One table.
    """
    rows = [
        [
            row["model"], str(row["seeds"]), brief(row["alone_ms"], 3),
            brief(row["batched_ms"], 3), f"{row['ratio']:.2f}", _range(row),
        ]
        for row in content["results"]
    ]  # fmt: skip
    columns = ["net", "seeds", "one by one, ms a step", "batched, ms a step", "ratio", "quartiles"]
    return [Table(columns, rows, words=1)]


#: From the content of a benchmark's file to its tables.
TABLES: dict[str, Callable[[Mapping[str, Any]], Sequence[Table]]] = {
    "step_time": steps,
    "inference": calls,
    "roofline": products,
    "one_pass": one_pass,
    "fwht": transforms,
    "peers": others,
    "setup": set_ups,
    "layer_memory": large_steps,
    "serving": served,
    "gpu-h200": on_a_gpu,
    "batched-h200": batched,
}
