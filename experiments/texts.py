"""Texts with labels for `experiments/tensors.py`: tweets, and docstrings of installed packages."""

import ast
import hashlib
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from examples import minilm
from subspace_nn import bits

Texts = list[tuple[str, int]]

#: Number of texts in each part of the data, in the order in which they are taken.
SIZES = {"test": 1000, "train": 1024, "validation": 500}

#: The question about a docstring is what it describes: a module, a class or a function.
KINDS = (ast.Module, ast.ClassDef, ast.FunctionDef | ast.AsyncFunctionDef)
PACKAGES = ("matplotlib", "networkx", "numpy", "pandas", "scipy", "sklearn", "sympy", "torch")

#: Fewest words of a paragraph.
_FEWEST = 6


def tweets(folder: Path) -> dict[str, Texts]:
    """The tweets of `examples/minilm.py`, with its test and training texts.

    Args:
        folder: where the package with the tweets is, or is downloaded to.

    Returns:
        Texts by the name of the part.
    """
    every = iter(minilm.load_tweets(folder))
    return {part: [next(every) for _ in range(size)] for part, size in SIZES.items()}


def docstrings(folder: Path) -> dict[str, Texts]:  # noqa: ARG001
    """First paragraphs of docstrings, as many of each kind, and no file in two parts.

    Args:
        folder: not needed.

    Returns:
        Texts by the name of the part, in random order.
    """
    files = [path for package in PACKAGES for path in sorted(_files(package))]
    order = iter(bits.permutation(0, "files", len(files)).tolist())
    seen = set[str]()
    found = {}
    for part, size in SIZES.items():
        own: dict[int, list[str]] = {label: [] for label in range(len(KINDS))}
        while min(map(len, own.values())) < size // len(KINDS):
            for text, label in _paragraphs(files[next(order)]):
                if text not in seen:
                    own[label].append(text)
                seen.add(text)
        texts = [(text, label) for label in own for text in own[label][: size // len(KINDS)]]
        found[part] = [texts[i] for i in bits.permutation(0, part, len(texts))]
    return found


def digest(texts: dict[str, Texts]) -> str:
    """What identifies the texts, for another version of a package has others.

    Args:
        texts: by the name of the part.

    Returns:
        12 hexadecimal digits.
    """
    return hashlib.sha256(repr(sorted(texts.items())).encode()).hexdigest()[:12]


def _files(package: str) -> Iterator[Path]:
    """A package's own modules: no tests, and nothing vendored or generated."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"The docstrings of {package} are needed: pip install {package}.")
    root = Path(spec.origin).parent
    for path in root.rglob("*.py"):
        parts = path.relative_to(root).parts
        if not any(re.search(r"test|extern|vendor|_generated", part) for part in parts):
            yield path


def _paragraphs(path: Path) -> Iterator[tuple[str, int]]:
    """First paragraphs of the docstrings in a file, each on one line, and what each describes."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        for label, kind in enumerate(KINDS):
            if isinstance(node, kind) and (text := ast.get_docstring(node)):
                line = " ".join(text.partition("\n\n")[0].split())
                if len(line.split()) >= _FEWEST:
                    yield line, label
