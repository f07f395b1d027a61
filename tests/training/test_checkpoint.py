"""Checkpoints: bit-exact, whole or absent, refused when damaged, and never the death of an older one."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from run_files import assert_same

from unit import weights
from unit.training import checkpoint
from unit.training.checkpoint import Checkpoint
from unit.weights import CheckpointError

pytestmark = pytest.mark.usefixtures("flushing")


def state(seed: int = 0) -> Checkpoint:
    numbers = torch.Generator().manual_seed(seed)
    tensors = {"net": {"w": torch.randn(3, 4, generator=numbers)}, "adam-net": {"0.step": torch.tensor(7.0)}}
    return Checkpoint(tensors, {"step": seed, "list": [1, None, 0.1]}, {"model": "net", "step": seed})


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    folder = weights.step_folder(tmp_path, 5)
    checkpoint.save(folder, state())
    assert_same(checkpoint.load(folder), state())
    assert folder.name == "step-00000005"
    assert weights.list_checkpoints(tmp_path) == [folder]


@pytest.mark.parametrize("broken", ["save_file", "write_text", "sha256", "flush", "rename"])
@pytest.mark.parametrize("call", [1, 2])
def test_a_save_that_fails_leaves_nothing_and_harms_nothing(
    broken: str, call: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = weights.step_folder(tmp_path, 1), weights.step_folder(tmp_path, 2)
    checkpoint.save(old, state(1))
    calls = 0

    def failing(real: Callable[..., object]) -> Callable[..., object]:
        def run(*arguments: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls == call or broken == "rename":
                raise OSError(28, "No space left on device")
            return real(*arguments, **options)

        return run

    with monkeypatch.context() as patch:
        owner = {"save_file": checkpoint, "sha256": weights, "flush": weights}.get(broken, Path)
        patch.setattr(owner, broken, failing(getattr(owner, broken)))
        with pytest.raises(OSError, match="No space left"):
            checkpoint.save(new, state(2))
    assert weights.list_checkpoints(tmp_path) == [old]
    assert_same(checkpoint.load(old), state(1))
    checkpoint.save(new, state(2))  # over what the failed one left
    assert_same(checkpoint.load(new), state(2))
    checkpoint.prune(tmp_path, 2)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [old.name, new.name]


def test_the_files_are_on_the_disk_before_the_folder_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    rename, fsync = Path.rename, os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (events.append(os.readlink(f"/proc/self/fd/{fd}")), fsync(fd)))
    monkeypatch.setattr(Path, "rename", lambda self, to: (events.append("rename"), rename(self, to)))
    checkpoint.save(weights.step_folder(tmp_path, 1), state())
    before = {Path(event).name for event in events[: events.index("rename")]}
    assert before == {
        "net.safetensors", "adam-net.safetensors", "config.json", "manifest.json", ".step-00000001.partial",
    }  # fmt: skip
    assert [Path(event).name for event in events[events.index("rename") + 1 :]] == ["checkpoints"]


@pytest.mark.parametrize("name", ["net.safetensors", "adam-net.safetensors", "config.json", "manifest.json"])
@pytest.mark.parametrize("harm", ["flip", "truncate", "remove"])
def test_a_damaged_checkpoint_is_refused_by_name(name: str, harm: str, tmp_path: Path) -> None:
    folder = weights.step_folder(tmp_path, 1)
    checkpoint.save(folder, state())
    data = bytearray((folder / name).read_bytes())
    if harm == "flip":
        data[-3] ^= 0x40
        (folder / name).write_bytes(data)
    elif harm == "truncate":
        (folder / name).write_bytes(data[: len(data) // 2])
    else:
        (folder / name).unlink()
    with pytest.raises(CheckpointError, match=folder.name):
        checkpoint.load(folder)


def test_pruning_keeps_the_newest(tmp_path: Path) -> None:
    for step in (1, 2, 10):
        checkpoint.save(weights.step_folder(tmp_path, step), state(step))
    checkpoint.prune(tmp_path, 2)
    assert [path.name for path in weights.list_checkpoints(tmp_path)] == ["step-00000002", "step-00000010"]


def test_moments_lie_in_memory_as_their_parameter_does() -> None:
    """On a GPU weights are channels last, and a fused Adam pairs numbers by where they lie."""

    def optimizer() -> tuple[torch.nn.Conv2d, torch.optim.Adam]:
        torch.manual_seed(0)
        conv = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        return conv, torch.optim.Adam(conv.parameters(), fused=True)

    def step(conv: torch.nn.Conv2d, adam: torch.optim.Adam, seed: int) -> None:
        x = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(seed))
        conv(x).square().sum().backward()
        adam.step()
        adam.zero_grad()

    (conv, adam), (other, resumed) = optimizer(), optimizer()
    step(conv, adam, 1)
    saved = {key: value.clone() for key, value in checkpoint.optimizer_tensors(adam).items()}
    other.load_state_dict(conv.state_dict())
    checkpoint.check_optimizer(resumed, saved, 2, Path("here"))
    checkpoint.fill_optimizer(resumed, saved)
    assert resumed.state[other.weight]["exp_avg"].stride() == other.weight.stride() != (27, 9, 3, 1)
    step(conv, adam, 2)
    step(other, resumed, 2)
    assert torch.equal(conv.weight, other.weight)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"0.exp_avg": torch.zeros(16)}, r"0.exp_avg is torch.float32 \(16,\)"),
        ({"0.exp_avg_sq": torch.zeros(4, 3, 3, 3, dtype=torch.float64)}, "0.exp_avg_sq is torch.float64"),
        ({"0.step": torch.zeros(4)}, r"0.step is torch.float32 \(4,\)"),
        ({"0.step": torch.tensor(3)}, "0.step is torch.int64"),
        ({"1.exp_avg": torch.full((4,), torch.nan)}, "1.exp_avg is"),
        ({"0.max_exp_avg_sq": torch.zeros(4, 3, 3, 3)}, "has 0.max_exp_avg_sq"),
        ({"2.exp_avg": torch.zeros(4)}, "has 2.exp_avg"),
        ({"1.exp_avg": None}, "lacks 1.exp_avg"),
    ],
)
def test_moments_that_are_not_a_fresh_adams_are_refused_before_anything_is_filled(
    change: dict[str, torch.Tensor | None], said: str
) -> None:
    """A fused Adam writes beyond a moment of the wrong shape."""
    conv = torch.nn.Conv2d(3, 4, 3)
    adam = torch.optim.Adam(conv.parameters(), fused=True)
    conv(torch.zeros(1, 3, 4, 4)).sum().backward()
    adam.step()
    saved = checkpoint.optimizer_tensors(adam)
    checkpoint.check_optimizer(adam, saved, 2, Path("here"))
    changed = {key: value for key, value in (saved | change).items() if value is not None}
    with pytest.raises(CheckpointError, match=said):
        checkpoint.check_optimizer(adam, changed, 2, Path("here"))


@pytest.mark.parametrize("stepped", [1, 3, True, "2", None])
def test_all_parameters_have_moments_or_none(stepped: object) -> None:
    adam = torch.optim.Adam(torch.nn.Conv2d(3, 4, 3).parameters())
    checkpoint.check_optimizer(adam, {}, 0, Path("here"))
    with pytest.raises(CheckpointError, match="of 2 parameters have moments"):
        checkpoint.check_optimizer(adam, {}, stepped, Path("here"))  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match=r"lacks 0.exp_avg"):
        checkpoint.check_optimizer(adam, {}, 2, Path("here"))
