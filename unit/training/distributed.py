"""Accelerate: device, precision, processes, trackers; and what the processes of one training agree on."""

import importlib.util
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState
from accelerate.utils import GradientAccumulationPlugin, ProjectConfiguration, gather_object, parse_flag_from_env
from torch import nn

from unit.config.base import Config, ConfigError, Precision
from unit.data.batches import Shard
from unit.networks.dropout import Dropout
from unit.training.signals import OrphanWatch

PATIENCE = timedelta(days=7)
"""How long the processes wait for one that validates; one that has ended is noticed at once."""


def start_accelerator(config: Config, run: Path) -> Accelerator:
    """Accelerate's device, precision, processes and tracker; raises ConfigError where the config does not fit them."""
    if config.train.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS needs for it
    tracker = config.run.tracker
    if tracker != "none" and importlib.util.find_spec(tracker) is None:
        raise ConfigError(f"run.tracker: {tracker} is not installed; pip install {tracker}")
    for scheme in ("FSDP", "DEEPSPEED", "MEGATRON_LM"):
        if parse_flag_from_env(f"ACCELERATE_USE_{scheme}"):
            raise ConfigError(
                f"{scheme} would divide the networks over the processes, but they are trained and saved whole here; "
                "launch plain processes (torchrun, or accelerate launch --multi_gpu)"
            )
    check_accumulation(config.train.accumulation)
    precision, _ = choose_precision(config.train.precision)
    AcceleratorState._reset_state()  # of an earlier training in this process, which may have had another precision
    try:
        with OrphanWatch():
            accelerator = Accelerator(
                mixed_precision="no" if precision == "fp32" else precision,
                log_with=None if tracker == "none" else tracker,
                project_config=ProjectConfiguration(project_dir=str(run), logging_dir=str(run)),
                gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),  # train.accumulation is our own
                kwargs_handlers=[DistributedDataParallelKwargs(gradient_as_bucket_view=True)],
            )
    except (ValueError, ImportError) as error:
        raise ConfigError(f"train.precision {precision} or run.tracker {tracker}: {error}") from error
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if launched != accelerator.num_processes:
        raise ConfigError(
            f"{launched} processes were launched, but Accelerate sees {accelerator.num_processes}, so each would train "
            "alone; on CPUs set the environment variable ACCELERATE_USE_CPU=true"
        )
    return accelerator


def choose_precision(wanted: Precision) -> tuple[Literal["fp32", "bf16", "fp16"], str]:
    """The precision of a training, and why: the config's; for `auto` what `accelerate launch` says, else bf16 on a GPU
    or a CPU that has it natively, and fp32 on others. Raises ConfigError for what the launcher alone knows."""
    if wanted != "auto":
        return wanted, "train.precision"
    launched = os.environ.get("ACCELERATE_MIXED_PRECISION")
    match launched:
        case "no":
            return "fp32", "the launcher's --mixed_precision"
        case "bf16" | "fp16":
            return launched, "the launcher's --mixed_precision"
        case str():
            raise ConfigError(f"--mixed_precision: expected no, bf16 or fp16, got {launched}; or set train.precision")
    on_gpu = torch.cuda.is_available() and not parse_flag_from_env("ACCELERATE_USE_CPU")
    if on_gpu:
        native, device = torch.cuda.is_bf16_supported(), "this GPU"
    else:
        native, device = has_native_bf16(), "this CPU"
    return ("bf16", f"native on {device}") if native else ("fp32", f"{device} has no native bf16")


def has_native_bf16() -> bool:
    """Whether this CPU multiplies bf16 by itself (AVX512-BF16 or AMX); where it does not, bf16 is slower than fp32."""
    checks = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("avx512_bf16", "amx_tile"))
    return any(check() for check in checks if check is not None)


def check_accumulation(micro_batches: int) -> None:
    """Raise ConfigError where the launcher wants another accumulation than the config, which alone decides."""
    launched = os.environ.get("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1")
    if launched not in ("1", str(micro_batches)):
        raise ConfigError(
            f"--gradient_accumulation_steps: expected train.accumulation's {micro_batches}, got {launched}; "
            f"--train.accumulation {launched} does what is wanted"
        )


def make_shard(config: Config, accelerator: Accelerator) -> Shard:
    """This process's share of the global batch; raises ConfigError where that can't be divided."""
    train = config.train
    parts = accelerator.num_processes * train.accumulation
    if train.batch_size % parts:
        raise ConfigError(
            f"train.batch_size: {train.batch_size} images can't be divided over {accelerator.num_processes} "
            f"processes × {train.accumulation} micro-batches; expected a multiple of {parts}"
        )
    return Shard(
        config.run.seed, train.batch_size, train.accumulation, accelerator.process_index, accelerator.num_processes
    )


def check_compile(networks: Mapping[str, nn.Module]) -> None:
    """Raise ConfigError where a network's dropout draws its masks by key, in Python, which no compiled code can."""
    for name, network in networks.items():
        if any(isinstance(module, Dropout) and module.p for module in network.modules()):
            raise ConfigError(f"train.compile: expected false where there is dropout, as in the {name}, got true")


def compile_networks(networks: Iterable[nn.Module]) -> None:
    """Compile what a call of each network runs, after Accelerate has wrapped it; its weights keep their names.

    A network's code is compiled anew for each shape of its input, and where its weights are frozen or not.
    """
    for network in networks:
        network.compile(dynamic=False)


def check_agreement(accelerator: Accelerator, mine: Mapping[str, Any], what: str) -> None:
    """Raise ConfigError, on all processes, where one was started with other values by key than another."""
    if accelerator.num_processes == 1:
        return
    given = gather_object([dict(mine)])
    differing = sorted(
        {key for one in given for key in given[0].keys() | one.keys() if one.get(key) != given[0].get(key)}
    )
    if differing:
        key = differing[0]
        values = ", ".join(str(one.get(key)) for one in given)
        raise ConfigError(f"the processes of this training were started with different {what}: {key} is {values}")


def agree_on_signal(signal: int, accelerator: Accelerator) -> int:
    """The signal that any of the processes got, the same on all, or 0."""
    if accelerator.num_processes == 1:
        return signal
    return int(accelerator.gather(torch.tensor([signal], device=accelerator.device)).max())


def in_turn(accelerator: Accelerator, act: Callable[[], None]) -> None:
    """Let the main process act, and then the others; what one raises, it raises after its turn, so that none waits."""
    failure: Exception | None = None
    with accelerator.main_process_first():
        try:
            act()
        except Exception as error:
            failure = error
    if failure is not None:
        raise failure


def make_barrier(accelerator: Accelerator) -> Callable[[], None]:
    """A place for all processes to wait at, for as long as one of them works alone: NCCL's own gives up after minutes,
    and keeps the GPUs busy until then."""
    if accelerator.num_processes == 1:
        return lambda: None
    group: Any = torch.distributed.new_group(backend="gloo", timeout=PATIENCE)

    def wait() -> None:
        torch.distributed.barrier(group=group)

    return wait


def lost_peer(error: Exception) -> bool:
    """Whether this is how a process learns that another of the same training has ended."""
    several = torch.distributed.is_available() and torch.distributed.is_initialized()
    return several and (isinstance(error, torch.distributed.DistError) or "gloo/transport" in str(error))
