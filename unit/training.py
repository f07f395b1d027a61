"""The training loop: batch → phases → schedule → average → log → samples → checkpoint. Accelerate appears here only.

On several processes each takes its share of the global batch; every network is called through its wrapper where its
gradients are wanted, so that all processes take the same step.
"""

import importlib.util
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from signal import Signals
from typing import Any, TypeVar

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import (
    GradientAccumulationPlugin,
    ProjectConfiguration,
    broadcast_object_list,
    parse_flag_from_env,
)
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from unit import checkpoint
from unit.checkpoint import CheckpointError
from unit.config import Config, ConfigError
from unit.data.batches import Batches, Share
from unit.memory import free_memory
from unit.methods.build import describe, method_of, shells_of
from unit.methods.method import Method, Phase
from unit.model import save_model
from unit.optim import adam, moving_average, schedule
from unit.report.progress import Progress
from unit.report.samples import write_samples
from unit.run import Claim, begin, check_run, run_of, write_status
from unit.signals import StopFlag, ignore
from unit.state import TrainingState

B = TypeVar("B")


ANOTHER_IS_GONE = "another process of this training has ended; --resume goes on from the newest checkpoint"


class RunError(RuntimeError):
    """A training that can't go on: one line."""


class Interrupted(Exception):  # noqa: N818
    """The training was asked to stop, and stopped after a whole step with a checkpoint."""

    def __init__(self, run: Path, step: int, signal: int) -> None:
        super().__init__(f"stopped by {Signals(signal).name} after step {step}; --resume {run} goes on from there")
        self.signal = signal


def train(config: Config, *, resume: Path | None = None, auto: bool = False) -> Path:
    """Train, or with `resume` go on from that run's newest checkpoint; returns the run's folder.

    With `auto`, a run to resume that has no checkpoint yet begins anew. Raises ConfigError, DataError, CheckpointError
    or FileNotFoundError for what the user can mend, RunError where the training itself fails, and Interrupted.
    """
    run = Path(config.run.output)
    claim = Claim(run)
    try:
        return train_claimed(config, run, claim, resume=resume, auto=auto)
    except Exception as error:
        if lost_another(error):
            raise RunError(ANOTHER_IS_GONE) from error
        raise
    finally:
        claim.release()


def train_claimed(config: Config, run: Path, claim: Claim, *, resume: Path | None, auto: bool) -> Path:
    accelerator = start_accelerator(config, run)  # first, so that the others learn of it where one is refused
    device, main = accelerator.device, accelerator.is_main_process
    if main:
        claim.take()
    newest = check_run(run, config, resume, auto=auto)
    newest = broadcast_object_list([newest])[0]  # the main process's, which may have waited for an orphan's save

    check_memory(config, device)
    torch.use_deterministic_algorithms(config.train.deterministic)
    torch.manual_seed(config.run.seed)
    method = method_of(config)
    batches = method.open(share_of(config, accelerator))
    method.to(device)
    for network in method.networks.values():
        network.to(device)
        if device.type == "cuda":  # on a CPU torch 2.15's instance norm of one image has wrong gradients then
            network.to(memory_format=torch.channels_last)
    average = moving_average(method.model, config.optim.ema)
    wrapped: dict[str, nn.Module] = {name: accelerator.prepare(net) for name, net in method.networks.items()}
    # Schedules stay torch's own: one that Accelerate wraps counts once a process.
    plain = {
        name: adam([method.networks[network] for network in player.networks], config.optim, device, factor=player.lr)
        for name, player in method.players.items()
    }
    schedules = {name: LambdaLR(optimizer, schedule(config)) for name, optimizer in plain.items()}
    optimizers = {name: accelerator.prepare(optimizer) for name, optimizer in plain.items()}
    state = TrainingState(method.networks, average, plain, schedules, accelerator.scaler, dict(batches.fingerprints))
    if newest is not None:
        restore(state, newest)
    if state.step > config.train.steps:
        raise ConfigError(f"train.steps: the run is at step {state.step} already, got {config.train.steps}")

    if main:
        begin(run, config, state.step, claim)
        write_status(run, "running", step=state.step, processes=accelerator.num_processes)
        print(headline(accelerator, batches, method, state.step), *batches.left_out, sep="\n", flush=True)
    watch = Watch(accelerator)
    log = Log(accelerator, config, run, step=state.step, images=batches.images_a_step)
    finished = average.module if average is not None else method.model

    start = state.step
    try:
        with StopFlag() as stop:
            for parts in steps_of(batches, config, device, state.step):
                if state.step == start and accelerator.num_processes > 2:
                    for _ in learn(method, wrapped, parts, accelerator, optimizers, rehearsal=True):
                        pass
                inspect = partial(watch.look, state.step + 1)
                for phases in learn(method, wrapped, parts, accelerator, optimizers, inspect=inspect):
                    log.add(phases)
                if average is not None:
                    average.update_parameters(method.model)
                lr = float(next(iter(schedules.values())).get_last_lr()[0])
                for scheduler in schedules.values():
                    scheduler.step()
                state.step += 1
                done = state.step == config.train.steps
                signal = 0 if done else agreed(stop.asked(), accelerator)
                saving = done or signal > 0 or state.step % config.train.checkpoint_every == 0
                log.advance()
                if saving or state.step % config.train.log_every == 0:
                    watch.check()
                    log.write(state.step, lr=lr)
                sampling = done or state.step % config.train.sample_every == 0
                if saving or sampling:
                    check_finite(method.networks, state.step)
                if sampling and main:
                    grid = method.samples(finished, batches, device)
                    write_samples(run / "samples" / f"step-{state.step:08d}.png", grid)
                if saving and main:
                    save(state, run, keep=config.train.keep)
                if signal:
                    raise Interrupted(run, state.step, signal)
        if main:
            save_model(run, finished, describe(config), step=state.step)
            write_status(run, "finished", step=state.step)
    except Interrupted as interruption:
        if main:
            write_status(run, "interrupted", step=state.step, signal=Signals(interruption.signal).name)
        accelerator.end_training()  # all processes are here
        raise
    except Exception as error:
        told = plainly(error, run)
        if main:
            with suppress(OSError):
                write_status(run, "failed", step=state.step, error=" ".join(str(told).split()))
        if told is error:
            raise
        raise told from error
    finally:
        log.close()
    accelerator.wait_for_everyone()  # none ends before the model is saved
    accelerator.end_training()
    return run


def plainly(error: Exception, run: Path) -> Exception:
    """The error, or in its place one that says in one line what happened."""
    if lost_another(error):
        return RunError(ANOTHER_IS_GONE)
    if isinstance(error, OSError) and error.filename is None:  # as from write and fsync
        return RunError(f"{run} can't be written: {error}; the last checkpoint is as it was")
    return error


def lost_another(error: Exception) -> bool:
    """Whether this is how a process learns that another of the same training has ended."""
    several = torch.distributed.is_available() and torch.distributed.is_initialized()
    return several and (isinstance(error, torch.distributed.DistError) or "gloo/transport" in str(error))


def restore(state: TrainingState, folder: Path) -> None:
    """Take the checkpoint's state; raises CheckpointError, which says if there is an older one, where it is damaged."""
    try:
        state.restore(folder)
    except CheckpointError as error:
        older = [path for path in checkpoint.list_of(run_of(folder)) if path < folder]
        hint = f"; --resume {older[-1]} with another --run.output goes on from the one before" if older else ""
        raise CheckpointError(f"{error}{hint}") from error


def save(state: TrainingState, run: Path, *, keep: int) -> None:
    """Publish a checkpoint, then prune; raises RunError where the disk does not take it."""
    try:
        checkpoint.save(checkpoint.folder_of(run, state.step), state.snapshot())
    except (OSError, SafetensorError) as error:
        saved = checkpoint.list_of(run)
        last = f"{saved[-1]} is as it was" if saved else "there was none before"
        raise RunError(f"the checkpoint of step {state.step} can't be written: {error}; {last}") from error
    checkpoint.prune(run, keep)


def agreed(signal: int, accelerator: Accelerator) -> int:
    """The signal that any of the processes got, the same on all, or 0."""
    if accelerator.num_processes == 1:
        return signal
    return int(accelerator.gather(torch.tensor([signal], device=accelerator.device)).max())


def learn(
    method: Method[B],
    wrapped: Mapping[str, nn.Module],
    parts: list[B],
    accelerator: Accelerator,
    optimizers: Mapping[str, Optimizer],
    *,
    inspect: Callable[[list[Phase], Optimizer], None] = lambda phases, optimizer: None,
    rehearsal: bool = False,
) -> Iterator[list[Phase]]:
    """One training step: for each of the method's phases, backpropagate its loss over all parts of the batch and step
    its player's optimizer, which `inspect` sees first; then yield what each part lost.

    The parts' phases go side by side, so that every part sees the networks as the phase before left them, and the
    gradients are synchronised with the last part's.

    A `rehearsal` leaves everything as it is. After the first backward pass DDP puts the gradients into buckets anew,
    and the order in which more than two processes sum up depends on the place in a bucket: so the first step of a
    training that goes on would differ by rounding from that of one that was not broken off.
    """
    streams = [method.phases(wrapped, part, recompute=len(parts) > 1) for part in parts]

    def advance_norms(wanted: bool) -> None:
        """Spectral norm goes on once a phase, not once a part, and not in a rehearsal."""
        if len(parts) > 1 or rehearsal:
            for network in wrapped.values():
                network.train(wanted)

    while True:
        phases: list[Phase] = []
        for stream in streams:
            advance_norms(not phases and not rehearsal)
            with ExitStack() as stack:
                if len(phases) + 1 < len(streams):
                    for network in wrapped.values():
                        stack.enter_context(accelerator.no_sync(network))
                phase = next(stream, None)
                if phase is None:
                    advance_norms(True)
                    return
                accelerator.backward(phase.loss / len(streams))
            phases.append(phase)
        optimizer = optimizers[phases[0].player]
        inspect(phases, optimizer)
        if not rehearsal:
            optimizer.step()
        optimizer.zero_grad()
        yield phases


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
    try:
        accelerator = Accelerator(
            mixed_precision="no" if precision == "fp32" else precision,
            log_with=None if config.run.tracker == "none" else config.run.tracker,
            project_config=ProjectConfiguration(project_dir=str(run), logging_dir=str(run)),
            gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),  # train.accumulation is our own
            kwargs_handlers=[DistributedDataParallelKwargs(gradient_as_bucket_view=True)],
        )
    except (ValueError, ImportError) as error:
        raise ConfigError(f"train.precision {precision} or run.tracker {config.run.tracker}: {error}") from error
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if launched != accelerator.num_processes:
        raise ConfigError(
            f"{launched} processes were launched, but Accelerate sees {accelerator.num_processes}, so each would train "
            "alone; on CPUs set the environment variable ACCELERATE_USE_CPU=true"
        )
    return accelerator


def check_memory(config: Config, device: torch.device) -> None:
    """Raise ConfigError where a CPU has less memory than the weights, their gradients and Adam's two moments take."""
    shells = shells_of(config).values()
    count = sum(parameter.numel() for shell in shells for parameter in shell.parameters())
    needed, free = 16.0 * count, free_memory(device)
    if needed > free:
        raise ConfigError(
            f"model: {count / 1e6:.0f} million weights need at least {needed / 1e9:.0f} GB, {free / 1e9:.0f} GB are "
            "free; lower model.width or the like"
        )


def share_of(config: Config, accelerator: Accelerator) -> Share:
    """This process's share of the global batch; raises ConfigError where that can't be divided."""
    train = config.train
    parts = accelerator.num_processes * train.accumulation
    if train.batch_size % parts:
        raise ConfigError(
            f"train.batch_size: {train.batch_size} images can't be divided over {accelerator.num_processes} "
            f"processes × {train.accumulation} accumulated parts; expected a multiple of {parts}"
        )
    return Share(
        config.run.seed, train.batch_size, train.accumulation, accelerator.process_index, accelerator.num_processes
    )


def steps_of(batches: Batches[Any, B], config: Config, device: torch.device, start: int) -> Iterator[list[B]]:
    """From step `start` on, each step's parts of this process, augmented on the training device."""
    count = config.train.accumulation
    numbers = range(start * count, config.train.steps * count)
    loader: DataLoader[Any] = DataLoader(
        batches,
        batch_size=None,
        sampler=numbers,
        num_workers=batches.workers,
        pin_memory=device.type == "cuda",
        worker_init_fn=ignore,
    )
    parts: list[B] = []
    for number, stored in zip(numbers, loader, strict=True):
        parts.append(batches.prepare(stored, number, device))
        if len(parts) == count:
            yield parts
            parts = []


def check_finite(networks: Mapping[str, nn.Module], step: int) -> None:
    """Raise RunError where a weight is not a finite number: the losses would show it only a step later."""
    for name, network in networks.items():
        if not all(bool(parameter.isfinite().all()) for parameter in network.parameters()):
            raise RunError(
                f"the training broke down at step {step}: weights of the {name} are not finite numbers; "
                "the last checkpoint is as it was"
            )


def headline(accelerator: Accelerator, batches: Batches[Any, Any], method: Method[Any], step: int) -> str:
    """What is being trained, on what: the first line of the output."""
    device = accelerator.device
    on_gpu = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if on_gpu else counted(torch.get_num_threads(), "thread")
    parts = [
        f"{device.type} ({name})",
        accelerator.mixed_precision.replace("no", "fp32"),
        counted(accelerator.num_processes, "process", "processes"),
        batches.summary,
        *(
            f"{sum(parameter.numel() for parameter in network.parameters()) / 1e6:.2f} M parameters in the {key}"
            for key, network in method.networks.items()
        ),
    ]
    return "  ".join(parts + [f"from step {step}"] * (step > 0))


def counted(count: int, one: str, many: str | None = None) -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


class Watch:
    """Finds the step at which a loss term or a gradient first is not a finite number.

    On a CPU that ends the training before the step is taken. On a GPU, which is not waited for, it ends it when next
    something is written. fp16's scaler skips steps whose scaled gradients overflow, and halves its scale; that is as it
    should be, until the scale is below 1: then the gradients themselves are at fault.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.at_once = accelerator.device.type == "cpu"
        self.scaler = accelerator.scaler
        self.finite: dict[tuple[int, str], Tensor] = {}

    def look(self, step: int, phases: list[Phase], optimizer: Optimizer) -> None:
        """Before the optimizer's step in step number `step`, counted from 1."""
        for phase in phases:
            for name, value in phase.terms.items():
                self.finite[step, name] = self.finite.get((step, name), True) & value.isfinite()
        if self.scaler is None:
            gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
            norms = torch.stack(torch._foreach_norm(gradients))
            self.finite[step, f"the gradient of the {phases[0].player}"] = norms.isfinite().all()
        if self.at_once:
            self.check()

    def check(self) -> None:
        """Raise RunError, the same on all processes, where something was not finite on any."""
        if not self.finite:
            return
        if self.scaler is not None and self.scaler.get_scale() < 1:
            raise RunError(
                f"the training broke down at step {max(self.finite)[0]}: the gradients overflow fp16 whatever the "
                "scale, or are no finite numbers; the last checkpoint is as it was"
            )
        well = self.accelerator.reduce(torch.stack(list(self.finite.values())).float(), "mean").eq(1).tolist()
        broken = [key for key, fine in zip(self.finite, well, strict=True) if not fine]
        self.finite.clear()
        if broken:
            first = broken[0][0]
            names = ", ".join(name for step, name in broken if step == first)
            raise RunError(
                f"the training broke down at step {first}: {names} is not a finite number; "
                "the last checkpoint is as it was"
            )


class Log:
    """The means of the loss terms since the last line: to metrics.jsonl, the tracker and the terminal."""

    def __init__(self, accelerator: Accelerator, config: Config, run: Path, *, step: int, images: int) -> None:
        self.accelerator = accelerator
        self.path = run / "metrics.jsonl"
        self.images = images
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.last_step, self.last_time = step, time.monotonic()
        self.begun = self.last_time
        self.progress = Progress(steps=config.train.steps, start=step, shown=accelerator.is_main_process)
        if accelerator.log_with:
            accelerator.init_trackers(config.run.tracker)

    def add(self, phases: list[Phase]) -> None:
        """Take note of the terms of one phase, part by part."""
        for phase in phases:
            for name, value in phase.terms.items():
                self.sums[name] = self.sums.get(name, torch.zeros_like(value)) + value
                self.counts[name] = self.counts.get(name, 0) + 1

    def advance(self) -> None:
        self.progress.advance()

    def write(self, step: int, *, lr: float) -> None:
        """Write the means over the steps since the last line."""
        means = torch.stack([self.sums[name].float() / self.counts[name] for name in self.sums])
        means = self.accelerator.reduce(means, "mean")
        terms = dict(zip(self.sums, means.tolist(), strict=True))
        now = time.monotonic()
        speed = self.images * (step - self.last_step) / (now - self.last_time)
        if self.accelerator.is_main_process:
            line = {"step": step, "lr": lr, "images_per_second": round(speed, 3)}
            with self.path.open("a") as file:
                file.write(json.dumps(line | {"seconds": round(now - self.begun, 2)} | terms) + "\n")
            self.progress.report(step, terms, speed)
        self.accelerator.log(terms | {"lr": lr, "images_per_second": speed}, step=step)
        self.sums.clear()
        self.counts.clear()
        self.last_step, self.last_time = step, now

    def close(self) -> None:
        self.progress.close()
