"""Mutated model folders are used or refused in one line; nothing is run, written or filled with numbers."""

import json
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from bounds import GIB, assert_refused, no_longer_than, peak, snapshot
from conftest import Command
from mutated_images import noise
from mutated_models import model_folders

from unit.models.folder import load_model, save_model
from unit.models.unit import UnitModelConfig, UnitTranslator, UnitTranslatorConfig
from unit.weights import CheckpointError


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small model, untrained. Tests read it and change nothing in it."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "sound"
    save_model(folder, UnitTranslator(UnitTranslatorConfig(model=UnitModelConfig(width=4, blocks=2))), step=1)
    return folder


@pytest.mark.parametrize(("each", "step"), [(3, 5), pytest.param(15, 1, marks=pytest.mark.slow)])
def test_each_model_folder_is_used_or_refused_in_one_line(
    run_command: Command, sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, each: int, step: int
) -> None:
    mark, model, output = tmp_path / "mark", tmp_path / "model", tmp_path / "out"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    noise().save(tmp_path / "in" / "x.png")
    folders = list(model_folders(mark, seed=0, each=each))
    assert each < 15 or len(folders) >= 200
    outcomes: Counter[str] = Counter()
    begun, memory = time.monotonic(), peak()
    for made in folders[::step]:
        shutil.rmtree(model, ignore_errors=True)
        shutil.rmtree(output, ignore_errors=True)
        shutil.copytree(sound, model)
        made.harm(model)
        before = snapshot(tmp_path, but=output)
        with no_longer_than(20):
            said = run_command("translate", "--model", model, "--input", "in", "--output", output, "--device", "cpu")
        assert snapshot(tmp_path, but=output) == before, made.kind
        if said.code == 2:
            assert_refused(said)
            assert not output.exists()
        elif said.code == 1:  # weights of 1e38 are finite; their translations are not
            assert made.verdict == "either" and "x.png" in said.out and "NaN" in said.out, (made.kind, said)
        else:
            assert said.code == 0 and (output / "x.png").exists()
        verdict = {0: "used", 1: "no image", 2: "refused"}[said.code]
        assert made.verdict == "either" or (made.verdict == "good") == (said.code == 0), (made.kind, said)
        outcomes[verdict] += 1
        assert not mark.exists(), made.kind
    assert peak() - memory < GIB / 2
    print(f"{sum(outcomes.values())} model folders in {time.monotonic() - begun:.1f} s", *outcomes.items(), sep="\n")


def test_sizes_are_compared_with_the_weights_before_memory_is_taken(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a model that does not fit its weights, no tensor is made but on the meta device, which holds nothing."""
    model = shutil.copytree(sound, tmp_path / "model")
    description: dict[str, Any] = json.loads((model / "config.json").read_text())
    description["config"]["model"]["width"] = 4096
    (model / "config.json").write_text(json.dumps(description))
    made: list[str] = []

    def watched(network: torch.nn.Module, init: str) -> None:
        made.extend(parameter.device.type for parameter in network.parameters())

    monkeypatch.setattr("unit.models.unit.initialize", watched)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load_model(model)
    assert set(made) == {"meta"}
