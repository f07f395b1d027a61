"""How much memory there is, and which errors say that there was too little."""

import psutil
import torch


def free_memory(device: torch.device) -> float:
    """Bytes that may be taken without swapping on a CPU; infinity on other devices, whose allocators say it in time."""
    return float(psutil.virtual_memory().available) if device.type == "cpu" else float("inf")


def check_batch(images: int, numbers: int) -> None:
    """Raise ValueError where a CPU has less memory than a batch of so many images of so many numbers takes alone."""
    needed, free = 4.0 * images * numbers, free_memory(torch.device("cpu"))
    if needed > free:
        raise ValueError(
            f"train.batch_size: {images} images per process and micro-batch take at least {needed / 1e9:.0f} GB, "
            f"{free / 1e9:.0f} GB are free; lower it or raise train.accumulation"
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error says that there is too little memory; of a CPU's, torch does in a plain RuntimeError."""
    said = str(error)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(part in said for part in ("out of memory", "allocate memory"))
    )
