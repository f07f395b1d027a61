"""The training loop: batch → phases → schedule → average → log → samples → validation → checkpoint."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from signal import Signals
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from unit.config.base import Config, ConfigError
from unit.config.schema import flat
from unit.data.batches import Batches
from unit.data.domain import Domain
from unit.data.grid import Grid
from unit.data.images import write_grid
from unit.methods import find_method
from unit.methods.base import Method
from unit.models.folder import save_model
from unit.training.distributed import (
    agree_on_signal,
    check_agreement,
    check_compile,
    compile_networks,
    in_turn,
    lost_peer,
    make_shard,
    start_accelerator,
)
from unit.training.errors import Interrupted, RunError
from unit.training.guards import FiniteCheck, check_finite, check_memory
from unit.training.initial import take_weights
from unit.training.log import Log, describe_training, headline, quiet_writers
from unit.training.optim import adam, lr_factor, moving_average, set_lr
from unit.training.run_folder import RunLock, begin, check_run, claim, run_of, write_status
from unit.training.signals import StopFlag
from unit.training.starts import write_start
from unit.training.state import TrainingState
from unit.training.step import iterate_micro_batches, rehearse, training_step
from unit.training.validation import HeldOut, Validation, check_resumed, hold_out, write_record

LOST_PEER = "another process of this training has ended; --resume goes on from the newest checkpoint"

Domains = Mapping[str, Domain]


@dataclass(frozen=True)
class Beginning:
    """What a training begins with; the arguments of `train`."""

    resume: Path | None
    auto: bool
    init: Path | None
    domains: Domains | None
    command: str | None


def train(
    config: Config,
    *,
    resume: Path | None = None,
    auto: bool = False,
    init: Path | None = None,
    domains: Domains | None = None,
    command: str | None = None,
) -> Path:
    """Train, or go on with a run.

    Args:
        config: everything that defines the training.
        resume: a run, of which the newest checkpoint is taken, or one of its checkpoints.
        auto: a run to resume that has no checkpoint yet begins anew.
        init: a model, run or checkpoint whose weights a new run begins with, as far as they fit.
        domains: images by domain in place of those that the config names.
        command: the command line that asked for it, which the run keeps in starts.jsonl.

    Returns:
        The run's folder, which at the end is the finished model's too.

    Raises:
        ConfigError, DataError, CheckpointError, FileNotFoundError: what the user can mend.
        RunError: the training itself failed.
        Interrupted: it was asked to stop, and saved a checkpoint.
    """
    run = Path(config.run.output)
    lock = RunLock(run)
    try:
        return train_locked(config, run, lock, Beginning(resume, auto, init, domains, command))
    except Exception as error:
        if lost_peer(error):
            raise RunError(LOST_PEER) from error
        raise
    finally:
        lock.release()


def train_locked(config: Config, run: Path, lock: RunLock, beginning: Beginning) -> Path:
    """`train`, under a lock that it takes."""
    accelerator = start_accelerator(config, run)  # first, so that the others learn of it where one is refused
    device, main = accelerator.device, accelerator.is_main_process
    check_agreement(accelerator, flat(asdict(config)) | {"method": config.method}, "configs")
    if main and (run / "config.yaml").is_file():  # a folder that is no run is left as it is
        lock.take()
    newest = check_run(run, config, beginning.resume, auto=beginning.auto)
    newest = broadcast_object_list([newest])[0]  # the main process's, which may have waited for an orphan's save

    batches, shown, held, method = set_up(config, accelerator, beginning.domains)
    if newest is not None:
        check_resumed(held, run_of(newest))
    unfit = take_weights(method, beginning.init) if beginning.init is not None and newest is None else []
    average = moving_average(method.model, config.optim.ema)
    wrapped = {name: accelerator.prepare(network) for name, network in method.networks.items()}
    if config.train.compile:
        compile_networks(method.networks.values())
    plain = {
        name: adam([method.networks[key] for key in group.networks], config.optim, device, factor=group.lr_factor)
        for name, group in method.optimizers.items()
    }
    optimizers = {name: accelerator.prepare(optimizer) for name, optimizer in plain.items()}
    state = TrainingState(method, average, plain, accelerator.scaler, dict(batches.fingerprints))
    if newest is not None:
        state.restore(newest)
    if state.step > config.train.steps:
        raise ConfigError(f"train.steps: the run is at step {state.step} already, got {config.train.steps}")
    validation = Validation(config, held, accelerator, run)
    validation.check(state.step, state.finished)

    if main:
        claim(run, config, lock, newest, resume=beginning.resume, auto=beginning.auto)
        begin(run, config, state.step)
        write_record(held, run)
        write_status(run, "running", step=state.step, processes=accelerator.num_processes)
        news = [*batches.complaints, *unfit, *validation.headline]
        description = describe_training(accelerator, batches, method)
        write_start(run, state.step, command=beginning.command, description=description)
        print(headline(description, state.step), *news, sep="\n", flush=True)
    finite = FiniteCheck(accelerator)
    log = Log(accelerator, config, run, step=state.step, images_per_step=batches.images_per_step)
    finished = state.finished
    every, start = config.train, state.step
    try:
        with quiet_writers(), StopFlag() as stop:
            if validation.due(start) and validation.validate(start, finished, log):  # before the first, or left out
                state.save(run, keep=every.keep)
            for micro_batches in iterate_micro_batches(batches, config, device, start):
                if state.step == start:
                    rehearse(method, wrapped, micro_batches, accelerator, optimizers)
                factor = lr_factor(config, state.step)
                lr, *_ = [set_lr(optimizer, factor) for optimizer in plain.values()]
                inspect = partial(finite.inspect, state.step + 1)
                for phases in training_step(method, wrapped, micro_batches, accelerator, optimizers, inspect=inspect):
                    log.add(phases)
                if average is not None:
                    average.update_parameters(method.model)
                state.step += 1

                done = state.step == every.steps
                signal = 0 if done else agree_on_signal(stop.asked(), accelerator)
                saving = done or signal > 0 or state.step % every.checkpoint_every == 0
                validating = validation.due(state.step, done=done)
                sampling = done or validating or state.step % every.sample_every == 0
                log.advance()
                if saving or validating or state.step % every.log_every == 0:
                    finite.check()
                    log.write(state.step, lr=lr)
                if saving or sampling:
                    check_finite(method.networks, state.step)
                if sampling and main:
                    with evaluating(finished):
                        grid = method.samples(finished, shown, device)
                    write_samples(run, state.step, grid)
                    log.show(state.step, grid)
                if (saving or sampling) and main:
                    lock.check()
                if validating and not signal:  # a resumed run makes up for it
                    saving |= validation.validate(state.step, finished, log)
                if saving and main:
                    state.save(run, keep=every.keep)
                if signal:
                    raise Interrupted(run, state.step, signal)
            if main:
                save_model(run, finished, step=state.step)
                write_status(run, "finished", step=state.step, **validation.standing)
                for line in validation.summary:
                    log.say(line)
    except Interrupted as interruption:
        if main:
            name = Signals(interruption.signal).name
            write_status(run, "interrupted", step=state.step, signal=name, **validation.standing)
        accelerator.end_training()  # all processes are here
        raise
    except Exception as error:
        explained = explain(error, run)
        if main:
            with suppress(OSError):
                write_status(run, "failed", step=state.step, error=" ".join(str(explained).split()))
        if explained is error:
            raise
        raise explained from error
    finally:
        log.close()
    accelerator.wait_for_everyone()  # none ends before the model is saved
    accelerator.end_training()
    return run


def set_up(
    config: Config, accelerator: Accelerator, domains: Domains | None
) -> tuple[Batches[Any, Any], Batches[Any, Any], HeldOut | None, Method[Any]]:
    """The data to train on, to show and to validate on, and the method with its networks on the device; raises what a
    user can mend before much is done."""
    device = accelerator.device
    shard = make_shard(config, accelerator)
    kind = find_method(config.method)
    kind.check(config, shard)
    if domains is None:
        in_turn(accelerator, partial(kind.prepare_data, config))
    held = hold_out(config, kind, domains)
    batches = kind.open(config, shard, domains if held is None else held.training)
    shown = batches if held is None else kind.open_shown(config, shard, held.images)
    check_agreement(accelerator, batches.fingerprints, "data")
    with torch.device("meta"):
        shapes = kind(config, batches).networks
    check_memory(shapes, device)
    if config.train.compile:
        check_compile(shapes)
    torch.use_deterministic_algorithms(config.train.deterministic)
    torch.manual_seed(config.run.seed)
    method = kind(config, batches)
    method.gather = accelerator.gather
    method.to(device)
    for network in method.networks.values():
        network.to(device)
        if device.type == "cuda":  # on a CPU torch 2.15's instance norm of one image has wrong gradients then
            network.to(memory_format=torch.channels_last)
    return batches, shown, held, method


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Within this context the model is one that is evaluated: without dropout, with its running statistics, and as it
    is where it was compiled, since each new shape would be compiled anew."""
    training = {module: module.training for module in model.modules()}
    compiled = any(module._compiled_call_impl is not None for module in training)
    model.eval()
    try:
        with torch.compiler.set_stance("force_eager") if compiled else nullcontext():
            yield
    finally:
        for module, wanted in training.items():
            module.training = wanted


def write_samples(run: Path, step: int, grid: Grid) -> None:
    """Write a step's sample grid."""
    folder = run / "samples"
    folder.mkdir(parents=True, exist_ok=True)
    write_grid(folder / f"step-{step:08d}.png", grid.images, columns=grid.columns)


def explain(error: Exception, run: Path) -> Exception:
    """The error, or in its place one that says in one line what happened."""
    if lost_peer(error):
        return RunError(LOST_PEER)
    if isinstance(error, RuntimeError) and "DataLoader worker" in str(error):
        return RunError("a process that reads images was killed; the last checkpoint is as it was")
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        return RunError(f"train.compile: torch.compile failed ({reason}); train.compile false trains the same")
    if isinstance(error, OSError) and error.filename is None:  # as from write and fsync
        return RunError(f"{run} can't be written: {error}; the last checkpoint is as it was")
    return error
