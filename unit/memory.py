"""How much memory there is, and which errors say that there was too little."""

import psutil
import torch


def free_memory(device: torch.device) -> float:
    """Bytes that may be taken without swapping on a CPU; infinity on other devices, whose allocators say it in time."""
    return float(psutil.virtual_memory().available) if device.type == "cpu" else float("inf")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error says that there is too little memory; of a CPU's, torch does in a plain RuntimeError."""
    said = str(error)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(part in said for part in ("out of memory", "allocate memory"))
    )
