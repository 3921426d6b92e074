"""One self-contained page that reads handwriting with subspaces of `conv` and `fc`.

The page holds checkpoints, not weights: a second implementation of `docs/bits.md` and
`docs/format.md` in JavaScript (`engine.js`) recomputes P, θ0 and θ from the seed in the browser.
"""

import base64
import functools
import json
import os
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from subspace_nn.common.errors import CheckpointError

#: Misread test images that a page shows of each net.
SHOWN = 24

_FOLDER = files("subspace_nn.play")


@functools.cache
def _text() -> str:
    return (_FOLDER / "nets.json").read_text(encoding="utf-8")


def packaged() -> list[dict[str, Any]]:
    """The nets in the package: `conv` with 3 to 10,000 free parameters, trained on MNIST.

    Returns:
        What `look` returned for each, by ascending d.
    """
    return json.loads(_text())


def look(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What the page shows of a checkpoint: the file itself, and how it reads MNIST's test images.

    Args:
        path: a checkpoint of `conv` or `fc`.

    Returns:
        `dim`; the `file` in base64; `accuracy` over the 10,000 test images, from 0 to 1;
        `confusion`, 100 counts, row by row, a row for each digit; and `wrong`, the first misread
        images, four bits a pixel in base64, each with its label and the net's guess.

    Raises:
        CheckpointError: if the file is damaged, or none that the page reads.
    """
    import torch  # noqa: PLC0415  # the packaged page needs no PyTorch

    from subspace_nn.checkpoint.loading import load  # noqa: PLC0415
    from subspace_nn.format import container  # noqa: PLC0415
    from subspace_nn.tasks.classifier import as_input  # noqa: PLC0415
    from subspace_nn.tasks.data import mnist  # noqa: PLC0415

    if problems := _problems(container.read(path).spec):
        raise CheckpointError(*(f"{path}: {problem}" for problem in problems))
    net = load(path).eval()
    test = mnist().test
    with torch.no_grad():
        guesses = torch.cat([net(as_input(part)).argmax(1) for part in test.images.split(1000)])
    labels = test.labels.long()
    wrong = (guesses != labels).nonzero().flatten()
    return {
        "dim": net.dim,
        "file": base64.b64encode(Path(path).read_bytes()).decode(),
        "accuracy": int((guesses == labels).sum()) / len(labels),
        "confusion": torch.bincount(10 * labels + guesses, minlength=100).tolist(),
        "wrong": [
            {
                "image": _packed(test.images[i].flatten().tolist()),
                "label": int(labels[i]),
                "guess": int(guesses[i]),
            }
            for i in wrong[:SHOWN].tolist()
        ],
    }


#: What the page reads, by the fields of a specification: the refusals of `load` in `engine.js`.
_READ = {
    "model": ("conv", "fc"),
    "projection": ("hashed/1",),
    "scale": ("init", "none"),
    "theta0_from": ("seed/1", "file"),
    "dtype": ("float32",),
}
#: What a field means that is not there.
_ABSENT = {"model": "a net of your own", "scale": "init", "dtype": "float32"}


def _problems(spec: Mapping[str, Any]) -> list[str]:
    got = {field: spec.get(field, _ABSENT.get(field)) for field in _READ}
    problems = [
        f"the page reads the {field} {' and '.join(known)} alone, and the file's is {got[field]}."
        for field, known in _READ.items()
        if got[field] not in known
    ]
    if spec.keys() & {"include", "exclude", "train"}:
        problems.append("the page reads subspaces of all the weights of a net, not of a part.")
    if "stages" in spec:
        problems.append("the page reads nets of one stage.")
    return problems


def page(nets: Sequence[dict[str, Any]] | None = None) -> str:
    """The page.

    Args:
        nets: what `look` returned for each net on the slider; the packaged ones by default.

    Returns:
        HTML that opens offline: everything is in it.
    """
    text = _text() if nets is None else json.dumps(list(nets))
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    parts = {
        "style": _read("style.css"),
        "engine": _read("engine.js"),
        "page": _read("page.js"),
        # In a script only `<` could end it; JSON has it inside of strings alone.
        "nets": text.replace("<", "\\u003c"),
    }
    safe = {name: Markup(part) for name, part in parts.items()}  # noqa: S704  # the package's own
    return environment.from_string(_read("page.html.j2")).render(safe)


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _packed(pixels: Sequence[int]) -> str:
    """Pixels from 0 to 255 in four bits each, the first of two in the lower half."""
    nibbles = [round(pixel / 17) for pixel in pixels]
    pairs = zip(nibbles[::2], nibbles[1::2], strict=True)
    return base64.b64encode(bytes(low | high << 4 for low, high in pairs)).decode()
