"""A folder that holds a trained subspace, as model hubs have them, and the Hugging Face Hub."""

import importlib
import importlib.util
import json
import os
import re
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import nn

from subspace_nn.checkpoint.loading import MAX_ENTRIES, load
from subspace_nn.common.atomic import write_atomically
from subspace_nn.common.errors import InputError
from subspace_nn.format import container
from subspace_nn.projections import Projection
from subspace_nn.subspace.wrapper import Subspace

#: The one file of a folder that is read again.
CHECKPOINT = "omega.safetensors"

#: For people and for the pages of a hub.
CONFIG, CARD = "config.json", "README.md"

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def save_pretrained(
    net: Subspace,
    folder: str | os.PathLike[str],
    *,
    dtype: str | None = None,
    base: str | None = None,
) -> None:
    """Write a folder with the checkpoint, its specification and a card for people.

    The checkpoint `omega.safetensors` is all that is read again. `config.json` repeats its
    specification for programs that list models; `README.md` says how to load it, and is not
    written where there is one already.

    Args:
        net: what to save.
        folder: made if it is not there.
        dtype: what ω is rounded to, as for `Subspace.save`.
        base: name of the model whose weights θ0 is, as for `Subspace.save`.

    Raises:
        InputError: as `Subspace.save`.

    Example:
        >>> import tempfile
        >>> net = Subspace(nn.Linear(6, 5), dim=3)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_pretrained(net, folder)
        ...     sorted(os.listdir(folder)), from_pretrained(folder, nn.Linear(6, 5)).dim
        (['README.md', 'config.json', 'omega.safetensors'], 3)
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    net.save(target / CHECKPOINT, dtype=dtype, base=base)
    spec = container.read(target / CHECKPOINT, None).spec
    config = {"library_name": "subspace-nn", "library_version": version("subspace-nn"), **spec}
    write_atomically(target / CONFIG, (json.dumps(config, indent=2) + "\n").encode())
    if not (target / CARD).exists():
        write_atomically(target / CARD, _card(spec, (target / CHECKPOINT).stat().st_size).encode())


def from_pretrained(
    source: str | os.PathLike[str],
    module: nn.Module | None = None,
    projection: Projection | None = None,
    *,
    revision: str | None = None,
    max_entries: int | None = MAX_ENTRIES,
) -> Subspace:
    """Load a folder that `save_pretrained` wrote, or the like of it from the Hugging Face Hub.

    Only its checkpoint is read, or fetched; nothing that it says makes anything else be fetched.

    Args:
        source: a folder; or a repository of the hub, `owner/name`, where there is no such folder
            (this needs the extra `hub`).
        module: as for `load`.
        projection: as for `load`.
        revision: a branch, a tag or a commit of the repository; its main branch by default.
        max_entries: as for `load`.

    Returns:
        The subspace.

    Raises:
        InputError: if there is no such folder or repository, or it cannot be fetched.
        CheckpointError: as `load`.
    """
    folder = Path(source)
    try:
        is_folder = folder.is_dir()
    except OSError as error:  # its name is too long
        raise InputError(f"{source}: {error.strerror}.") from None
    if is_folder:
        return load(folder / CHECKPOINT, module, projection, max_entries=max_entries)
    if not _REPOSITORY.fullmatch(str(source)):
        raise InputError(f"{source} is neither a folder nor a repository's name, as in owner/name.")
    path = _call_hub("hf_hub_download", str(source), CHECKPOINT, revision=revision)
    return load(path, module, projection, max_entries=max_entries)


def push_to_hub(
    net: Subspace,
    repository: str,
    *,
    dtype: str | None = None,
    base: str | None = None,
    private: bool | None = None,
    message: str = "Upload a subspace-nn checkpoint",
) -> str:
    """Upload what `save_pretrained` writes to the Hugging Face Hub (needs the extra `hub`).

    Who uploads is whom `hf auth login` knows.

    Args:
        net: what to upload.
        repository: its name, `owner/name`; made if it is not there.
        dtype: what ω is rounded to, as for `Subspace.save`.
        base: name of the model whose weights θ0 is, as for `Subspace.save`.
        private: whether a repository that is made is private; the owner's default if None.
        message: of the commit.

    Returns:
        The address of the commit.

    Raises:
        InputError: if the name is none of a repository, or the hub refuses or is out of reach.
    """
    if not _REPOSITORY.fullmatch(repository):
        raise InputError(f"Expected a repository's name, as in owner/name, got {repository!r}.")
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(net, folder, dtype=dtype, base=base)
        _call_hub("create_repo", repository, private=private, exist_ok=True)
        done = _call_hub(
            "upload_folder", repo_id=repository, folder_path=folder, commit_message=message
        )
    return str(done.commit_url)


def _call_hub(function: str, *args: Any, **kwargs: Any) -> Any:
    if importlib.util.find_spec("huggingface_hub") is None:
        raise InputError("This needs huggingface_hub: pip install 'subspace-nn[hub]'.")
    hub = importlib.import_module("huggingface_hub")
    try:
        return getattr(hub, function)(*args, **kwargs)
    except Exception as error:  # its own, of its transport, and of the system: no common base
        raise InputError(f"The hub's {function} failed: {error}") from error


def _card(spec: Mapping[str, Any], size: int) -> str:
    base = spec.get("base", "")
    known = _REPOSITORY.fullmatch(base)
    given = "" if "model" in spec and not base else ", module=…"
    return "\n".join([
        "---",
        "library_name: subspace-nn",
        "tags: [subspace-nn]",
        *([f"base_model: {base}"] if known else []),
        "---",
        "",
        f"{spec['dim']:,} free parameters for {spec['D']:,} weights, in {size:,} bytes.",
        "",
        "```python",
        "import subspace_nn as sn",
        "",
        f'net = sn.from_pretrained("…"{given})',
        "```",
        "",
        *([f"θ0 is the weights of `{base}`: give that model as `module`.", ""] if base else []),
    ])  # fmt: skip


__all__ = ["from_pretrained", "push_to_hub", "save_pretrained"]
