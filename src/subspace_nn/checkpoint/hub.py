"""A folder that holds a trained subspace, as model hubs have them, and the Hugging Face Hub."""

import importlib
import importlib.util
import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import nn

from subspace_nn.checkpoint.loading import MAX_ENTRIES, load
from subspace_nn.common.atomic import write_atomically
from subspace_nn.common.errors import InputError
from subspace_nn.format import container
from subspace_nn.projections import Projection
from subspace_nn.subspace import saving
from subspace_nn.subspace.adapters import NAME, check_name
from subspace_nn.subspace.wrapper import Subspace

#: The one file of a folder that is read again.
CHECKPOINT = container.CHECKPOINT

_FILE = re.compile(rf"adapters/({NAME})\.safetensors")

#: For people and for the pages of a hub.
CONFIG, CARD = "config.json", "README.md"

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def checkpoint_of(path: Path) -> Path:
    """Find the checkpoint that a path means.

    Args:
        path: a file, or a folder that `train` or `save_pretrained` wrote.

    Returns:
        The file; in a folder, `omega.safetensors`, which need not be there.

    Example:
        >>> checkpoint_of(Path("small.snn")).name
        'small.snn'
    """
    return path / CHECKPOINT if path.is_dir() else path


def save_pretrained(
    net: Subspace,
    folder: str | os.PathLike[str],
    *,
    dtype: str | None = None,
    base: str | None = None,
    about: Mapping[str, object] | None = None,
) -> None:
    """Write a folder with the checkpoint, those of all adapters, and a card for people.

    The checkpoint `omega.safetensors`, and `adapters/NAME.safetensors` for each adapter, are all
    that is read again. `config.json` repeats the specification for programs that list models;
    `README.md` says how to load the folder, and is not written where there is one already. Files
    of other adapters that are in the folder stay.

    Args:
        net: what to save. `omega.safetensors` holds what the net has without a name, if it has
            adapters.
        folder: made if it is not there.
        dtype: what ω is rounded to, as for `Subspace.save`.
        base: name of the model whose weights θ0 is, as for `Subspace.save`.
        about: what the card says besides, such as the base's revision, the data and the metric.

    Raises:
        InputError: as `Subspace.save`; or if there are adapters, and each of their files would
            hold all of θ0.

    Example:
        >>> import tempfile
        >>> net = Subspace(nn.Linear(6, 5), dim=3)
        >>> net.add_adapter("acme")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_pretrained(net, folder, about={"accuracy, %": 97.6})
        ...     again = from_pretrained(folder, nn.Linear(6, 5), adapters="*")
        >>> again.adapters
        ('acme',)
    """
    target, base = Path(folder), base or net.base
    if net.adapters and net.theta0_from == "module" and base is None:
        raise InputError(
            "Each adapter's file would hold all of θ0: name the model that it is of, "
            "save_pretrained(…, base=…)."
        )
    spec = None
    for name in (None, *net.adapters):
        with net.adapter(name):
            saved = saving.checkpoint(net, base, spec)
        spec = saved.spec
        path = target / (CHECKPOINT if name is None else _file_of(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        container.write(saved.rounded(dtype) if dtype else saved, path)
    about = {**(about or {}), **_versions()}
    config = {"library_name": "subspace-nn", "library_version": version("subspace-nn"),
              **container.read(target / CHECKPOINT, None).spec, "about": about,
              **({"adapters": [*net.adapters]} if net.adapters else {})}  # fmt: skip
    text = json.dumps(config, indent=2, default=str) + "\n"
    write_atomically(target / CONFIG, text.encode())
    if not (target / CARD).exists():
        size = (target / CHECKPOINT).stat().st_size
        write_atomically(target / CARD, _card(config, net.adapters, size).encode())


def from_pretrained(
    source: str | os.PathLike[str],
    module: nn.Module | None = None,
    projection: Projection | None = None,
    *,
    revision: str | None = None,
    max_entries: int | None = MAX_ENTRIES,
    adapters: str | Iterable[str] = (),
) -> Subspace:
    """Load a folder that `save_pretrained` wrote, or the like of it from the Hugging Face Hub.

    Only its checkpoints are read, or fetched; nothing that they say makes anything else be fetched.

    Args:
        source: a folder; or a repository of the hub, `owner/name`, where there is no such folder
            (this needs the extra `hub`).
        module: as for `load`.
        projection: as for `load`.
        revision: a branch, a tag or a commit of the repository; its main branch by default.
        max_entries: as for `load`.
        adapters: name or names of the adapters to load, too; "*" for all.

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
    if not is_folder and not _REPOSITORY.fullmatch(str(source)):
        raise InputError(f"{source} is neither a folder nor a repository's name, as in owner/name.")

    def path_of(file: str) -> str | Path:
        if is_folder:
            return folder / file
        return _call_hub("hf_hub_download", str(source), file, revision=revision)

    def files() -> Iterable[str]:
        if is_folder:
            return (path.relative_to(folder).as_posix() for path in folder.glob(_file_of("*")))
        return _call_hub("list_repo_files", str(source), revision=revision)

    net = load(path_of(CHECKPOINT), module, projection, max_entries=max_entries)
    names = [adapters] if isinstance(adapters, str) else adapters
    if adapters == "*":
        names = sorted(match[1] for match in map(_FILE.fullmatch, files()) if match)
    for name in names:
        net.load_adapter(name, path_of(_file_of(check_name(name))))
    return net


def push_to_hub(
    net: Subspace,
    repository: str,
    *,
    dtype: str | None = None,
    base: str | None = None,
    about: Mapping[str, object] | None = None,
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
        about: what the card says, as for `save_pretrained`.
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
        save_pretrained(net, folder, dtype=dtype, base=base, about=about)
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


def _file_of(name: str) -> str:
    return f"adapters/{name}.safetensors"


def _versions() -> dict[str, str]:
    return {package: version(package) for package in ("subspace-nn", "torch")}


def _card(config: Mapping[str, Any], adapters: Sequence[str], size: int) -> str:
    base = config.get("base", "")
    known = _REPOSITORY.fullmatch(base)
    given = "" if "model" in config and not base else ", module=…"
    given += ', adapters="*"' if adapters else ""
    some = ", ".join(adapters[:5]) + (" …" if len(adapters) > 5 else "")
    rows = {"base": base, "adapters": f"{len(adapters):,}: {some}" if adapters else ""}
    rows = {name: value for name, value in rows.items() if value} | config["about"]
    return "\n".join([
        "---",
        "library_name: subspace-nn",
        "tags: [subspace-nn]",
        *([f"base_model: {base}"] if known else []),
        "---",
        "",
        f"{config['dim']:,} free parameters for {config['D']:,} weights, in {size:,} bytes.",
        "",
        "```python",
        "import subspace_nn as sn",
        "",
        f'net = sn.from_pretrained("…"{given})',
        "```",
        "",
        *([f"θ0 is the weights of `{base}`: give that model as `module`.", ""] if base else []),
        "| | |",
        "| --- | --- |",
        *(f"| {_cell(name)} | {_cell(value)} |" for name, value in rows.items()),
        "",
    ])  # fmt: skip


def _cell(value: object) -> str:
    return " ".join(str(value).replace("|", "\\|").split())


__all__ = ["from_pretrained", "push_to_hub", "save_pretrained"]
