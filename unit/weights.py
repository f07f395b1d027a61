"""Weights and what describes them, read from files that may be damaged or hostile: JSON, safetensors, checksums.

Models, training and inference all stand on this. No pickle is ever read or written. Whatever is wrong with a file is a
:class:`CheckpointError` of one line, or an OSError or ValueError for the caller to put into one.
"""

import errno
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn, no_grad

FORMAT = 2
"""Version of the checkpoints and model folders that are written here; others are refused."""

VALIDATIONS, HELD_OUT = "validation.jsonl", "validation.json"
"""A run's files of the figures on images that it was not trained on, and of which images these are."""

MAX_JSON_BYTES = 2**24
"""The largest JSON file that is read."""


class CheckpointError(ValueError):
    """A checkpoint or model folder that can't be used: one line that names it."""


def collect_tensors(module: nn.Module) -> dict[str, Tensor]:
    """A module's parameters and buffers by name, on the CPU, each once however many parents it has."""
    return {
        name: tensor.detach().contiguous().cpu()
        for named in (module.named_parameters(), module.named_buffers())
        for name, tensor in named
    }


def fill(module: nn.Module, tensors: Mapping[str, Tensor], source: Path) -> None:
    """Copy tensors into the module's parameters and buffers, in place, so that what is shared stays shared.

    Raises CheckpointError, naming `source`, as `check_fit` does.
    """
    check_fit(module, tensors, source)
    own = dict(module.named_parameters()) | dict(module.named_buffers())
    with no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)


def check_fit(module: nn.Module, tensors: Mapping[str, Tensor], source: Path) -> None:
    """Raise CheckpointError unless names, shapes and types are just the module's, which may be on the meta device, and
    all numbers are finite."""
    own = dict(module.named_parameters()) | dict(module.named_buffers())
    missing, extra = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    if missing or extra:
        what = (
            f"lacks {len(missing)} weights ({missing[0]}, …)" if missing else f"has {extra[0]}, which the model lacks"
        )
        raise CheckpointError(f"{source} {what}: it is of another model or damaged")
    for name, tensor in tensors.items():
        if own[name].shape != tensor.shape:
            raise CheckpointError(
                f"{source}: {name} has shape {tuple(tensor.shape)}, the model's has {tuple(own[name].shape)}"
            )
        if own[name].dtype != tensor.dtype:
            raise CheckpointError(f"{source}: {name} is of type {tensor.dtype}, the model's is {own[name].dtype}")
        if not tensor.isfinite().all():
            raise CheckpointError(f"{source}: {name} holds NaN or infinite values: it is damaged")


def read_json(path: Path) -> Any:
    """What a JSON file says; raises OSError or ValueError where it is none, or larger than any that is written here."""
    with regular(path).open("rb") as file:
        text = file.read(MAX_JSON_BYTES + 1)
    if len(text) > MAX_JSON_BYTES:
        raise ValueError(f"{path.name} has more than {MAX_JSON_BYTES} bytes")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(f"{path.name} is nested too deep") from None


def read_tensors(path: Path) -> dict[str, Tensor]:
    """A safetensors file's tensors; raises OSError or ValueError where it is none."""
    try:
        return load_file(regular(path))
    except (SafetensorError, KeyError, AttributeError, TypeError, RuntimeError, MemoryError) as error:
        raise ValueError(f"{path.name} can't be read ({error})") from error


def regular(path: Path) -> Path:
    """The path, unless it is a pipe, a device or a folder, which could be read without end."""
    if path.exists() and not path.is_file():
        raise OSError(f"{path.name} is not a regular file")
    return path


def stamp(path: Path) -> dict[str, Any]:
    """What a manifest says of a file: its size, which is compared first, and its SHA-256."""
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}


def sha256(path: Path) -> str:
    """The SHA-256 of a regular file, in hexadecimal."""
    digest = hashlib.sha256()
    with regular(path).open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def flush(path: Path) -> None:
    """Have the file or folder on the disk before going on.

    Of a folder it is asked where the system and the file system can do it: Windows opens no folders, and some shared
    file systems answer EINVAL. A file that can't be flushed is an error.
    """
    is_folder = path.is_dir()
    if is_folder and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY if is_folder or os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not (is_folder and error.errno in (errno.EINVAL, errno.ENOTSUP)):
            raise
    finally:
        os.close(descriptor)


# A checkpoint's folder, as every room names and reads it; only training writes one (training/checkpoint.py).


def step_folder(run: Path, step: int) -> Path:
    """Where a run's checkpoint of this step lies."""
    return run / "checkpoints" / f"step-{step:08d}"


def step_of(folder: Path) -> int:
    """The step of a checkpoint's folder."""
    return int(folder.name.removeprefix("step-"))


def is_step_folder(path: Path) -> bool:
    """Whether a path is named as a run's checkpoint is."""
    return bool(re.fullmatch(r"step-[0-9]{8,}", path.name)) and path.parent.name == "checkpoints"


def list_checkpoints(run: Path) -> list[Path]:
    """A run's checkpoints, oldest first."""
    folders = (run / "checkpoints").glob("step-*")
    return sorted((path for path in folders if is_step_folder(path) and path.is_dir()), key=step_of)


def read_validations(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's validation.jsonl, one a validation; none where there was none. A last one that a kill cut
    short is left out."""
    path = run / VALIDATIONS
    if not path.exists():
        return []
    lines: list[dict[str, Any]] = []
    for text in regular(path).read_text(errors="replace").splitlines():
        try:
            line = json.loads(text)
            lines.append(line | {"step": int(line["step"]), "best": line["best"] is True})
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            continue
    return lines


def read_held_out(run: Path) -> dict[str, Any]:
    """What a run's validation.json says: the `split` that it was validated on (none: it was not), the names of these
    `images` by domain, and of those that were `set_aside` of the training images."""
    nothing: dict[str, Any] = {"split": None, "images": {}, "set_aside": {}}
    try:
        found = read_json(run / HELD_OUT)
        return nothing | {key: found[key] for key in nothing}
    except (OSError, ValueError, KeyError, TypeError):
        return nothing


def best_checkpoint(run: Path) -> Path | None:
    """The checkpoint whose figure was the best so far, which may have been deleted since; None without validation."""
    best = [line["step"] for line in read_validations(run) if line["best"]]
    return step_folder(run, best[-1]) if best else None


def resolve(folder: Path) -> Path:
    """The folder itself, or, of `RUN/best`, which is a name and no folder, the best checkpoint's.

    Raises FileNotFoundError where the run has none.
    """
    run = folder.parent
    if folder.name != "best" or folder.exists() or not (run / "config.yaml").is_file():
        return folder
    best = best_checkpoint(run)
    if best is None:
        raise FileNotFoundError(f"{run} has no best: nothing was validated while it trained (validate.every)")
    if not best.is_dir():
        raise FileNotFoundError(f"{run}: its best checkpoint, {best.name}, is not there")
    return best


def read_manifest(folder: Path) -> dict[str, Any]:
    """A checkpoint's manifest: `scalars`, and `files` by name with their sizes and SHA-256.

    Raises CheckpointError where it is damaged or of another version.
    """
    try:
        manifest: dict[str, Any] = read_json(folder / "manifest.json")
        if manifest["format"] != FORMAT:
            raise CheckpointError(
                f"checkpoint {folder} has format {manifest['format']}; this version of unit reads {FORMAT}"
            )
        if manifest["sha256"] != seal(manifest):
            raise CheckpointError(f"checkpoint {folder} is damaged: manifest.json is not what it was")
        for name in manifest["files"]:
            if Path(name).name != name:
                raise CheckpointError(f"checkpoint {folder} is damaged: it names a file {name!r}")
        return manifest
    except CheckpointError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"checkpoint {folder} is damaged: {error}") from error


def verified(folder: Path, name: str, manifest: Mapping[str, Any]) -> Path:
    """The path of a checkpoint's file; raises CheckpointError unless it is there as its manifest says."""
    try:
        expected = manifest["files"][name]
        if regular(folder / name).stat().st_size == expected["bytes"] and stamp(folder / name) == expected:
            return folder / name
        raise CheckpointError(f"checkpoint {folder} is damaged: {name} is not what its manifest says")
    except (OSError, KeyError, TypeError) as error:
        raise CheckpointError(f"checkpoint {folder} is damaged: {error}") from error


def seal(manifest: Mapping[str, Any]) -> str:
    """The SHA-256 of all that a manifest says, but for this."""
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
