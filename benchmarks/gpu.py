"""What one GPU makes of this house: its tests, its training step, exact resume, and `maps` at 256² with its score.

    python benchmarks/gpu.py --minutes 25 --json runs/gpu/gpu.json

Each part is a process of its own with its own limit, in order of worth: the tests that need CUDA, beside them the data
and `unit prove-resume` with deterministic algorithms; the step in fp32, tf32, bf16, channels-last and compiled; and in
the time that is left a training of `maps`, stopped as a scheduler would, and evaluated. The JSON is written anew after
every figure, so that it holds what was measured before a cut; a table is printed in the end. Without a GPU it ends
with code 3 and one line; `--toy` rehearses it on the CPU with small networks and images.
"""

import argparse
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("tests", "resume", "step", "maps")
FEW = 16
"""Images of each folder in the trainings that prove the resume."""
EVALUATION = 60
"""Seconds that are kept for the evaluation."""
GRACE = 20
"""Seconds that a training gets to stop, and to save its checkpoint."""
TOY = [
    "--data.size", "16", "--model.width", "4", "--model.blocks", "2", "--discriminator.width", "4",
    "--discriminator.layers", "2",
]  # fmt: skip
BF16 = "bf16+channels-last"
STEPS = [  # batch sizes and variants, in order of worth
    ("1", f"{BF16},fp32,tf32,bf16,{BF16}+benchmark,{BF16}+compile"),
    ("8,4", f"{BF16},fp32,tf32,bf16"),
    ("8", f"{BF16}+compile"),
]


@dataclass
class Report:
    """All figures so far, in a file that is always whole."""

    path: Path
    folder: Path
    toy: bool
    until: float
    figures: dict[str, Any] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def left(self) -> float:
        """Seconds."""
        return self.until - time.monotonic()

    def put(self, part: str, **figures: Any) -> None:
        with self.lock:
            self.figures.setdefault(part, {}).update(figures)
            partial = self.path.with_name(f".{self.path.name}.partial")
            partial.write_text(json.dumps(self.figures, indent=1) + "\n")
            partial.replace(self.path)

    def run(
        self,
        name: str,
        command: Sequence[str],
        *,
        limit: float,
        each: Callable[[str], None] = lambda line: None,
        gently: float = 0,
    ) -> tuple[int, list[str]]:
        """A process's exit code and lines; at its limit it is killed, or, `gently`, gets SIGTERM and that many seconds
        more. What it says goes to a log beside the JSON."""
        begun, lines = time.monotonic(), list[str]()
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        if self.toy:
            environment |= {"ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            list(command), cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", start_new_session=True,
        )  # fmt: skip

        def end(number: signal.Signals) -> None:
            if process.poll() is None:
                os.killpg(process.pid, number)

        timers = [threading.Timer(max(1.0, limit) + gently, end, [signal.SIGKILL])]
        if gently:
            timers.append(threading.Timer(max(1.0, limit), process.send_signal, [signal.SIGTERM]))
        for timer in timers:
            timer.daemon = True
            timer.start()
        assert process.stdout is not None
        with (self.folder / f"{name}.log").open("w") as log:
            for line in process.stdout:
                log.write(line)
                log.flush()
                lines.append(line.rstrip("\n"))
                each(lines[-1])
        code = process.wait()
        for timer in timers:
            timer.cancel()
        seconds = round(time.monotonic() - begun, 1)
        print(f"{name}: exit code {code}, {seconds:.0f} s, {self.left:.0f} s left", file=sys.stderr, flush=True)
        return code, lines


def unit(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "unit", *arguments]


def run_tests(report: Report) -> None:
    """The tests that need CUDA; a rehearsal takes one that does not."""
    files = sorted(path for path in (ROOT / "tests").rglob("test_*.py") if "mark.cuda" in path.read_text("utf-8"))
    chosen = [str(path.relative_to(ROOT)) for path in files if not report.toy or path.name == "test_blocks.py"]
    wanted = ["-m", "not cuda", "-k", "one_image"] if report.toy else ["-m", "cuda and not slow"]
    command = [
        sys.executable, "-m", "pytest", "-q", "-W", "default", "-p", "no:cacheprovider", "--durations=5", "--tb=short",
        *wanted, *chosen,
    ]  # fmt: skip
    code, lines = report.run("tests", command, limit=min(180, 0.3 * report.left))
    counts = {what: int(n) for n, what in re.findall(r"(\d+) (passed|failed|skipped|error)", (lines or [""])[-1])}
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    report.put("tests", code=code, counts=counts, failed=failed)


def prepare(report: Report, source: str | None) -> Path:
    """The data's folder."""
    if report.toy:
        root = report.folder / "toys"
        draw = "import pathlib, sys, unit.data.toymaps as toymaps; "
        draw += "toymaps.write_toymaps(pathlib.Path(sys.argv[1]), size=24, train=6, test=3)"
        report.run("data", [sys.executable, "-c", draw, str(root)], limit=report.left)
        return root
    root = ROOT / "datasets" / "maps"
    if not root.is_dir():
        given = [] if source is None else ["--source", source]
        report.run("data", unit("data", "maps", *given), limit=report.left)
    return root


def take_few(root: Path, target: Path, names: Sequence[str], count: int) -> Path:
    """A folder of the first images of these of the data's folders."""
    for name in names:
        (target / name).mkdir(parents=True, exist_ok=True)
        for path in sorted((root / name).iterdir())[:count]:
            shutil.copy(path, target / name)
    return target


def prove_resume(report: Report, root: Path) -> None:
    """Two kills in a short training of maps, and its end compared with an unbroken one's, bit for bit."""
    few = take_few(root, report.folder / "few", ("trainA", "trainB"), FEW)
    more = [*TOY, "--kills", "1", "--steps", "2", "--every", "1"] if report.toy else [
        "--kills", "2", "--steps", "6", "--every", "2"
    ]  # fmt: skip
    command = unit("prove-resume", "--config", "maps", "--data.root", str(few), "--run.tracker", "none", *more)
    code, lines = report.run("resume", command, limit=min(240, 0.45 * report.left))
    said = [line for line in lines if line.startswith(("exact", "NOT EXACT", "error", "compared"))]
    report.put("resume", code=code, exact=code == 0, said=said or lines[-1:])


def time_steps(report: Report, share: float) -> None:
    """Every variant of the step, and the matrix rates."""
    until = time.monotonic() + share * report.left
    size, matrix, seconds, device = ("16", "256", "0.05", "cpu") if report.toy else ("256", "8192", "0.7", "cuda")
    rows: list[dict[str, Any]] = []
    rates: dict[str, float] = {}

    def take(line: str) -> None:
        if not line.startswith("{"):
            return
        row = json.loads(line)
        if "matrix_tflops" in row:
            rates[row["precision"]] = row["matrix_tflops"]
        else:
            rate = rates.get(row["variant"].partition("+")[0])
            if rate and "tflops" in row:
                row["share"] = row["tflops"] / rate
            rows.append(row)
        report.put("step", matrix_tflops=rates, rows=rows)

    for number, (batch, variants) in enumerate([("1,2", f"fp32,{BF16}")] if report.toy else STEPS):
        if time.monotonic() > until:
            break
        command = [
            sys.executable, "benchmarks/step.py", "--json", "--config", "maps", "--size", size, "--batch", batch,
            "--device", device, "--variants", variants, "--seconds", seconds,
            *(["--matrix", matrix] if number == 0 else []), *(TOY if report.toy else []),
        ]  # fmt: skip
        report.run(f"step-{number}", command, limit=until - time.monotonic(), each=take)


def worth_compiling(report: Report) -> bool:
    """Whether the compiled step at batch 1 takes at most nine tenths of the time, and compiling a small part of what is
    left: a training compiles again, for its samples and for each phase."""
    rows = {row["variant"]: row for row in report.figures.get("step", {}).get("rows", []) if row["batch"] == 1}
    plain, compiled = rows.get(BF16, {}), rows.get(f"{BF16}+compile", {})
    if "ms" not in plain or "ms" not in compiled:
        return False
    return compiled["ms"] < 0.9 * plain["ms"] and 8 * compiled["first_step_seconds"] < report.left


def train_maps(report: Report, root: Path, tested: int | None) -> None:
    """Train maps for the time that is left, stop it, and evaluate what it has come to."""
    for compiled in [True, False] if worth_compiling(report) else [False]:
        run, never = report.folder / f"maps{'-compiled' * compiled}", str(10**9)
        seconds = report.left - EVALUATION - GRACE
        if seconds < 3:
            report.put("maps", error="no time was left to train")
            return
        begun = time.monotonic()
        command = unit(
            "train", "--config", "maps", "--data.root", str(root), "--run.output", str(run), "--run.tracker", "none",
            "--train.steps", "4" if report.toy else never, "--train.sample_every", never,
            "--train.checkpoint_every", "2000", "--train.log_every", "1" if report.toy else "50",
            "--train.compile", str(compiled).lower(), *(TOY if report.toy else []),
        )  # fmt: skip
        code, lines = report.run("maps-train", command, limit=seconds, gently=GRACE)
        headline = [line for line in lines if "parameters in" in line]
        report.put(
            "maps", code=code, compiled=compiled, seconds=round(time.monotonic() - begun, 1), headline=headline,
            **training_figures(run),
        )  # fmt: skip
        if code in (0, 128 + signal.SIGTERM):
            break
    if not list(run.glob("checkpoints/step-*")):
        report.put("maps", error=" ".join(lines[-1:]) or "there is no checkpoint to evaluate")
        return
    grid = report.path.with_name("maps.png")
    seen = root if tested is None else take_few(root, report.folder / "tested", ("testA", "testB"), tested)
    command = unit("evaluate", "--model", str(run), "--metrics", "maps,round_trip", "--data.root", str(seen))
    code, lines = report.run("maps-evaluate", [*command, "--grid", str(grid)], limit=report.left)
    found = sorted(run.rglob("evaluation*.json"))
    figures = without_images(json.loads(found[-1].read_text())) if found else None
    report.put("maps", evaluated=code, figures=figures, table=[line for line in lines if line.strip()][-40:])


def without_images(figures: Any) -> Any:
    """The same without the values of single images."""
    if not isinstance(figures, dict):
        return figures
    return {key: without_images(value) for key, value in figures.items() if key != "images"}


def training_figures(run: Path) -> dict[str, Any]:
    """Steps, speed, and the last line of the log."""
    path = run / "metrics.jsonl"
    logged = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    if not logged:
        return {"steps": 0}
    half = logged[len(logged) // 2 :]
    speeds = sorted(line["images_per_second"] for line in half)
    return {"steps": logged[-1]["step"], "images_per_second": speeds[len(speeds) // 2], "last": logged[-1]}


def machine(toy: bool) -> dict[str, Any]:
    """What it was measured on."""
    found: dict[str, Any] = {
        "torch": torch.__version__, "cuda": torch.version.cuda, "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)), "device": "CPU (a rehearsal)" if toy else torch.cuda.get_device_name(),
    }  # fmt: skip
    if not toy:
        found["memory_gb"] = round(torch.cuda.get_device_properties(0).total_memory / 1e9, 1)
    return found


def table(figures: dict[str, Any]) -> str:
    """The figures in Markdown."""
    where = figures["machine"]
    lines = [f"{where['device']}, torch {where['torch']}, {where['cores']} cores", ""]
    if "step" in figures:
        rates = figures["step"]["matrix_tflops"]
        lines += ["Matrix rates: " + ", ".join(f"{name} {rate:.1f} TFLOP/s" for name, rate in rates.items()), ""]
        lines += ["| batch | variant | ms a step | images/s | TFLOP/s | share | peak GB | first step s | waits |"]
        lines += ["|---|---|---|---|---|---|---|---|---|"]
        for row in figures["step"]["rows"]:
            head = f"| {row['batch']} | {row['variant']} |"
            if "error" in row:
                lines.append(f"{head} {row['error'][:80]} | | | | | | |")
                continue
            share = "" if row["share"] is None else f"{row['share']:.1%}"
            lines.append(
                f"{head} {row['ms']:.1f} | {row['images_per_second']:.1f} | {row['tflops']:.2f} | {share} | "
                f"{row['peak_gb']:.2f} | {row['first_step_seconds']:.1f} | {sum(row['waits'].values())} |"
            )
        lines.append("")
    if "tests" in figures:
        counts = ", ".join(f"{count} {what}" for what, count in figures["tests"]["counts"].items())
        lines += [f"Tests on the GPU: {counts or 'none'}", *figures["tests"]["failed"], ""]
    if "resume" in figures:
        lines += [*figures["resume"]["said"], ""]
    if "maps" in figures:
        maps = {key: figures["maps"].get(key) for key in ("steps", "images_per_second", "seconds", "compiled", "error")}
        lines += [f"maps: {maps}", *figures["maps"].get("table", [])]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=25, help="for all together (default: 25)")
    parser.add_argument("--json", type=Path, default=ROOT / "runs" / "gpu" / "gpu.json", help="the figures' file")
    parser.add_argument("--folder", type=Path, help="of runs and logs, which grow to 2 GB (default: the JSON's)")
    parser.add_argument("--source", help="maps as published, where datasets/maps is not there yet")
    parser.add_argument("--test", type=int, metavar="N", help="evaluate on the first N test images (default: all)")
    parser.add_argument("--parts", default=",".join(PARTS), help="which, separated by commas")
    parser.add_argument("--toy", action="store_true", help="rehearse on the CPU, with small networks and images")
    options = parser.parse_args()
    parts = options.parts.split(",")
    if not set(parts) <= set(PARTS):
        parser.error(f"--parts: expected some of {', '.join(PARTS)}, got {options.parts}")
    if not options.toy and not torch.cuda.is_available():
        print("no CUDA GPU here: nothing was measured; --toy rehearses it on the CPU", file=sys.stderr)
        return 3
    path = options.json.resolve()
    folder = (options.folder or path.parent).resolve()
    for each in (path.parent, folder):
        each.mkdir(parents=True, exist_ok=True)
    report = Report(path, folder, options.toy, time.monotonic() + 60 * options.minutes)
    report.put("machine", **machine(options.toy))
    with ThreadPoolExecutor(2) as pool:  # neither is about time
        tests = pool.submit(run_tests, report) if "tests" in parts else None
        root = prepare(report, options.source) if {"resume", "maps"} & {*parts} else folder
        if "resume" in parts:
            prove_resume(report, root)
        if tests is not None:
            tests.result()
    if "step" in parts:
        time_steps(report, 0.45 if "maps" in parts else 1.0)
    if "maps" in parts:
        train_maps(report, root, options.test)
    report.put("machine", seconds=round(60 * options.minutes - report.left, 1))
    print(table(report.figures))
    fine = [report.figures.get("tests", {}).get("code", 0) == 0, report.figures.get("resume", {}).get("exact", True)]
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main())
