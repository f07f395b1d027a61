"""What a training step costs: operations of the convolutions, time, share of the measured matrix rate, peak memory.

    python benchmarks/step.py [--config maps] [--size 128] [--batch 1,8] [--device cuda] [--variants fp32,bf16+compile]

A variant is a precision (fp32, tf32, bf16) and, after a plus, what else is on: channels-last, compile (torch.compile),
benchmark (cuDNN tries its algorithms). Options of the config follow, such as `--model.width 32`; `--json` prints one
JSON object a line. A time is the median of windows of steps that nothing waits for; operations are the convolutions'.
"""

import argparse
import json
import resource
import statistics
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from unit.cli.arguments import parse_config
from unit.data.two_domains import TranslationBatch
from unit.methods.unit import Unit, UnitConfig
from unit.training.distributed import compile_networks
from unit.training.guards import FiniteCheck
from unit.training.optim import adam, moving_average
from unit.training.step import training_step

PRECISIONS = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}
FLAGS = ("channels-last", "compile", "benchmark")
WARM_UP = 3
WINDOWS = 3


def allow_tf32(allowed: bool) -> None:
    """Let convolutions and matrix products of fp32 numbers be of tf32 ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer versions have a second way to say it
        torch.backends.cudnn.allow_tf32 = allowed
        torch.backends.cuda.matmul.allow_tf32 = allowed


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def matrix_rate(precision: str, device: torch.device, side: int) -> float:
    """Operations per second of a product of two random square matrices: the median of ten."""
    allow_tf32(precision == "tf32")
    x, y = (torch.randn(side, side, device=device, dtype=PRECISIONS[precision]) for _ in range(2))
    times = []
    for _ in range(13):
        synchronize(device)
        begun = time.perf_counter()
        x @ y
        synchronize(device)
        times.append(time.perf_counter() - begun)
    return 2 * side**3 / statistics.median(times[3:])


def make_method(config: UnitConfig) -> Unit:
    """The method, untrained, with no data of its own."""
    torch.manual_seed(0)
    nothing: Any = None
    return Unit(config, nothing)


def make_batch(config: UnitConfig, number: int, device: torch.device, layout: torch.memory_format) -> TranslationBatch:
    """Step number `number`'s batch of noise, the same on every device."""
    count, size = config.train.batch_size, config.data.size
    draw = torch.Generator().manual_seed(0)
    x_a, x_b = (
        (torch.rand(count, channels, size, size, generator=draw) * 2 - 1).to(device).contiguous(memory_format=layout)
        for channels in (config.data.channels, config.data.channels_of_b)
    )
    return TranslationBatch(x_a, x_b, number, range(count), 0)


def count_flops(config: UnitConfig) -> int:
    """Operations of one step's convolutions; fake tensors have shapes and no numbers, so nothing is computed."""
    cpu = torch.device("cpu")
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(cpu=True)
    with FakeTensorMode(), FlopCounterMode(display=False) as counter:
        method = make_method(config)
        optimizers = {name: adam([network], config.optim, cpu) for name, network in method.networks.items()}
        count, size = config.train.batch_size, config.data.size
        x_a, x_b = (torch.zeros(count, n, size, size) for n in (config.data.channels, config.data.channels_of_b))
        batch = TranslationBatch(x_a, x_b, 0, range(count), 0)
        for _ in training_step(method, method.networks, [batch], accelerator, optimizers):
            pass
    AcceleratorState._reset_state(reset_partial_state=True)
    return int(counter.get_total_flops())


def make_step(config: UnitConfig, variant: str, device: torch.device) -> Callable[[int], dict[str, torch.Tensor]]:
    """`step(number)` takes one step as the loop does, and gives its terms."""
    precision, *flags = variant.split("+")
    layout = torch.channels_last if "channels-last" in flags else torch.contiguous_format
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision="bf16" if precision == "bf16" else "no")
    method = make_method(config)
    method.to(device)
    for network in method.networks.values():
        network.to(device).to(memory_format=layout)
    average = moving_average(method.model, config.optim.ema)
    wrapped = {name: accelerator.prepare(network) for name, network in method.networks.items()}
    if "compile" in flags:
        compile_networks(method.networks.values())
    optimizers = {
        name: accelerator.prepare(adam([network], config.optim, device)) for name, network in method.networks.items()
    }
    finite = FiniteCheck(accelerator)
    images = make_batch(config, 0, device, layout)

    def step(number: int) -> dict[str, torch.Tensor]:
        batch = TranslationBatch(images.x_a, images.x_b, number, images.positions, images.seed)
        terms: dict[str, torch.Tensor] = {}
        inspected = training_step(
            method, wrapped, [batch], accelerator, optimizers, inspect=lambda *seen: finite.inspect(number, *seen)
        )
        for phases in inspected:
            terms |= phases[0].terms
        if average is not None:
            average.update_parameters(method.model)
        return terms

    return step


@contextmanager
def counted_waits(device: torch.device) -> Iterator[Counter[str]]:
    """Within this context, where in the code a GPU is waited for, and how often."""
    places: Counter[str] = Counter()
    if device.type != "cuda":
        yield places
        return
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield places
        finally:
            torch.cuda.set_sync_debug_mode("default")
    for warning in seen:
        if "synchroniz" in str(warning.message):
            places[f"{Path(warning.filename).name}:{warning.lineno}"] += 1


def measure(config: UnitConfig, variant: str, device: torch.device, *, seconds: float) -> dict[str, Any]:
    """A variant's figures; windows take about that many seconds each."""
    precision, *flags = variant.split("+")
    on_gpu = device.type == "cuda"
    allow_tf32(precision == "tf32")
    torch.backends.cudnn.benchmark = "benchmark" in flags
    torch.compiler.reset()
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    step = make_step(config, variant, device)
    begun = time.perf_counter()
    terms = {name: float(value) for name, value in step(0).items()}
    first = time.perf_counter() - begun
    for number in range(1, 1 + WARM_UP):
        step(number)
    synchronize(device)
    begun = time.perf_counter()
    step(1 + WARM_UP)
    synchronize(device)
    steps = max(1, round(seconds / (time.perf_counter() - begun)))
    times = []
    for window in range(WINDOWS):
        begun = time.perf_counter()
        for number in range(steps):
            step(2 + WARM_UP + window * steps + number)
        synchronize(device)
        times.append((time.perf_counter() - begun) / steps)
    with counted_waits(device) as waits:
        step(2 + WARM_UP + WINDOWS * steps)
    taken = statistics.median(times)
    peak = torch.cuda.max_memory_allocated() if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "ms": 1e3 * taken,
        "ms_windows": [1e3 * one for one in times],
        "images_per_second": 2 * config.train.batch_size / taken,
        "peak_gb": peak / 1e9,
        "first_step_seconds": first,
        "waits": dict(waits),
        "first_terms": terms,
    }


def parse(arguments: list[str] | None = None) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        description="What a training step costs; further options are the config's.", allow_abbrev=False
    )
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", default="1", help="one or several, separated by commas")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--variants", default="fp32", help=f"precision+…, of {', '.join(PRECISIONS)}; {', '.join(FLAGS)}"
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="of each of three windows (default: 2)")
    parser.add_argument("--matrix", type=int, default=0, help="side of the matrices whose product gives the rate")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    options, rest = parser.parse_known_args(arguments)
    for variant in options.variants.split(","):
        precision, *flags = variant.split("+")
        if precision not in PRECISIONS or not set(flags) <= set(FLAGS):
            parser.error(f"--variants: expected {'|'.join(PRECISIONS)}[+{'|'.join(FLAGS)}…], got {variant}")
    return options, rest


def main() -> None:
    options, rest = parse()
    device = torch.device(options.device)
    variants = options.variants.split(",")
    rates: dict[str, float] = {}
    if options.matrix:
        for precision in dict.fromkeys(variant.partition("+")[0] for variant in variants):
            rates[precision] = matrix_rate(precision, device, options.matrix)
            if options.json:
                print(json.dumps({"precision": precision, "matrix_tflops": rates[precision] / 1e12}), flush=True)
    for batch in map(int, options.batch.split(",")):
        size = ["--data.size", str(options.size), "--data.resize", "null", "--train.batch_size", str(batch)]
        config = parse_config([*rest, *size])
        assert isinstance(config, UnitConfig)
        flops = count_flops(config)
        for variant in variants:
            row: dict[str, Any] = {"variant": variant, "batch": batch, "size": options.size, "gflop": flops / 1e9}
            try:
                row |= measure(config, variant, device, seconds=options.seconds)
                row["tflops"] = flops / row["ms"] / 1e9
                rate = rates.get(variant.partition("+")[0])
                row["share"] = flops / row["ms"] * 1e3 / rate if rate else None
            except (
                RuntimeError
            ) as error:  # out of memory, or a compiler's failure: the others are measured all the same
                row["error"] = " ".join(str(error).split())[:300]
            print(json.dumps(row) if options.json else described(row), flush=True)


def described(row: dict[str, Any]) -> str:
    """A row for people."""
    head = f"{row['variant']}, {row['batch']} × {row['size']}² a domain, {row['gflop']:.1f} GFLOP a step: "
    if "error" in row:
        return head + row["error"]
    share = "" if row["share"] is None else f" ({row['share']:.0%} of the matrix rate)"
    return head + (
        f"{row['ms']:.1f} ms, {row['images_per_second']:.2f} images/s, {row['tflops']:.3f} TFLOP/s{share}, "
        f"peak {row['peak_gb']:.2f} GB, first step {row['first_step_seconds']:.1f} s"
    )


if __name__ == "__main__":
    main()
