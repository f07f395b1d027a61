"""train.precision auto is what the launcher says, else what the device does natively; the first line says why."""

from pathlib import Path

import pytest
import torch
from conftest import Command, Tiny

from unit.config import ConfigError
from unit.training.distributed import check_accumulation, choose_precision, has_native_bf16


@pytest.fixture
def cpu(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("avx", "amx", "chosen"), [(True, False, "bf16"), (False, True, "bf16"), (False, False, "fp32")]
)
def test_a_cpu_trains_in_bf16_where_it_is_native(cpu: pytest.MonkeyPatch, avx: int, amx: int, chosen: str) -> None:
    cpu.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx, raising=False)
    cpu.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    precision, reason = choose_precision("auto")
    assert precision == chosen and "this CPU" in reason
    assert has_native_bf16() is (chosen == "bf16")


@pytest.mark.parametrize(("native", "chosen"), [(True, "bf16"), (False, "fp32")])
def test_a_gpu_likewise(cpu: pytest.MonkeyPatch, native: bool, chosen: str) -> None:
    cpu.setattr(torch.cuda, "is_available", lambda: True)
    cpu.setattr(torch.cuda, "is_bf16_supported", lambda: native)
    cpu.delenv("ACCELERATE_USE_CPU", raising=False)
    assert choose_precision("auto")[0] == chosen and "this GPU" in choose_precision("auto")[1]


@pytest.mark.parametrize(("launched", "chosen"), [("no", "fp32"), ("bf16", "bf16"), ("fp16", "fp16")])
def test_auto_follows_the_launcher_both_ways(cpu: pytest.MonkeyPatch, launched: str, chosen: str) -> None:
    for native in (True, False):
        cpu.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda native=native: native, raising=False)
        cpu.setenv("ACCELERATE_MIXED_PRECISION", launched)
        assert choose_precision("auto") == (chosen, "the launcher's --mixed_precision")


def test_what_the_config_says_beats_the_launcher(cpu: pytest.MonkeyPatch) -> None:
    cpu.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    assert choose_precision("fp32") == ("fp32", "train.precision")


def test_a_precision_that_only_the_launcher_knows_is_refused(cpu: pytest.MonkeyPatch) -> None:
    cpu.setenv("ACCELERATE_MIXED_PRECISION", "fp8")
    with pytest.raises(ConfigError, match="--mixed_precision: expected no, bf16 or fp16, got fp8"):
        choose_precision("auto")


def test_the_launchers_accumulation_must_be_the_configs(cpu: pytest.MonkeyPatch) -> None:
    cpu.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    check_accumulation(4)
    with pytest.raises(ConfigError, match=r"expected train.accumulation's 1, got 4; --train.accumulation 4"):
        check_accumulation(1)
    cpu.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1")
    check_accumulation(4)


def test_the_first_line_says_which_and_why(
    cpu: pytest.MonkeyPatch, tiny: Tiny, run_command: Command, tmp_path: Path
) -> None:
    cpu.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False, raising=False)
    cpu.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    said = run_command("train", *tiny(tmp_path / "auto", "--train.precision", "auto", "--train.steps", "1"))
    assert said.code == 0 and "fp32 (this CPU has no native bf16)" in said.out.splitlines()[0]
    said = run_command("train", *tiny(tmp_path / "given", "--train.steps", "1"))
    assert "fp32 (train.precision)" in said.out.splitlines()[0]
