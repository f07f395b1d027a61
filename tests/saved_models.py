"""Untrained autoencoders as folders."""

from pathlib import Path
from typing import Any

import torch
from digit_toys import method_of, parse_config

from unit.models.folder import save_model


def saved(name: str, folder: Path, **keys: Any) -> Path:
    """METHODS[name]'s model for images of 16 × 16, untrained, with weights large enough for codes to count."""
    model = method_of(parse_config(name, **keys)).model
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    save_model(folder, model, step=1)
    return folder
