"""Accelerate: device, precision, processes, trackers; and what the processes of one training agree on."""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState
from accelerate.utils import GradientAccumulationPlugin, ProjectConfiguration, parse_flag_from_env

from unit.config.base import Config, ConfigError
from unit.data.batches import Shard


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
    precision = config.train.precision
    if precision == "auto":
        precision = "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "fp32"
    AcceleratorState._reset_state()  # of an earlier training in this process, which may have had another precision
    try:
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


def shard_of(config: Config, accelerator: Accelerator) -> Shard:
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


def lost_peer(error: Exception) -> bool:
    """Whether this is how a process learns that another of the same training has ended."""
    several = torch.distributed.is_available() and torch.distributed.is_initialized()
    return several and (isinstance(error, torch.distributed.DistError) or "gloo/transport" in str(error))
