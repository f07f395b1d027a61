"""The SHA-256 of the weights at the end of short trainings of every config that runs offline: has a change of the code
changed what is trained?

    python benchmarks/fingerprints.py --mnist FOLDER                # compare with benchmarks/fingerprints.json
    python benchmarks/fingerprints.py --mnist FOLDER --write        # record them anew

Each training takes 20 steps in fp32 on one thread of a CPU. A fingerprint covers the networks, their moving average and
Adam's moments, whatever their names are. It holds for one kind of CPU and one version of PyTorch, which are recorded
beside it; on another machine record the old revision's first.
"""

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parent.parent
RECORD = Path(__file__).with_suffix(".json")
STEPS = 20
REGULARIZERS = ("kl", "kl_learned", "mmd", "adversarial", "none")
TOYS = {"config": "toymaps.yaml"}
VARIANTS: dict[str, dict[str, object]] = {
    **{f"toymaps {kind}": TOYS | {"model.regularizer": kind} for kind in REGULARIZERS},
    "toymaps nothing shared": TOYS | {"model.shared_blocks": 0},
    "toymaps nothing shared, variance": TOYS | {"model.shared_blocks": 0, "model.regularizer": "kl_learned"},
    "toymaps two blocks shared": TOYS | {"model.shared_blocks": 2},
    "toymaps spectral norm": TOYS | {"discriminator.spectral_norm": "true", "loss.gan_kind": "hinge"},
    "toymaps accumulation": TOYS | {"train.accumulation": 2},
    "toymaps accumulation, adversarial": TOYS | {"train.accumulation": 2, "model.regularizer": "adversarial"},
    "toymaps no average": TOYS | {"optim.ema": 0},
    "toymaps augmented": TOYS | {"data.zoom": 1.3, "data.jitter": 0.3, "discriminator.shared_layers": 2},
    "toymaps no cycle": TOYS | {"loss.cycle": 0, "loss.cycle_kl": 0},
    "unit2018": {
        "config": "unit2018.yaml", "data.root": "datasets/toymaps", "data.resize": "null", "data.size": 32,
        "model.width": 8, "discriminator.width": 8, "discriminator.layers": 2,
    },
    **{path.stem: {"config": path.name} for path in sorted((ROOT / "configs").glob("mnist_*.yaml"))},
    "mnist_m1m2 at once": {"config": "mnist_m1m2.yaml", "model.head_start": 5},
}  # fmt: skip


def fingerprint(name: str, mnist: Path, folder: Path) -> str:
    """Train a variant in a process of its own; the SHA-256 over its tensors' own, sorted."""
    run = folder / name.replace(" ", "-").replace(",", "")
    keys: dict[str, object] = {
        "train.steps": STEPS, "train.checkpoint_every": STEPS, "train.log_every": STEPS, "train.sample_every": STEPS,
        "train.precision": "fp32", "run.output": run, "run.tracker": "none",
    }  # fmt: skip
    if name.startswith("mnist"):
        keys["data.root"] = mnist
    command = [part for key, value in (VARIANTS[name] | keys).items() for part in (f"--{key}", str(value))]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    subprocess.run(
        [sys.executable, "train.py", *command], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL
    )
    digests = []
    for path in (run / "checkpoints" / f"step-{STEPS:08d}").glob("*.safetensors"):
        for tensor in load_file(path).values():
            head = f"{tensor.dtype} {tuple(tensor.shape)} ".encode()
            digests.append(hashlib.sha256(head + tensor.contiguous().numpy().tobytes()).hexdigest())
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()


def machine() -> dict[str, str]:
    processor = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "")
    return {
        "cpu": processor.partition(": ")[2] or platform.processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path, required=True, help="folder of MNIST's four files")
    parser.add_argument("--write", action="store_true", help="record the fingerprints instead of comparing them")
    parser.add_argument("--only", default="", help="variants whose names begin so")
    options = parser.parse_args()
    names = [name for name in VARIANTS if name.startswith(options.only)]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        found = dict(
            zip(names, pool.map(lambda n: fingerprint(n, options.mnist.resolve(), Path(folder)), names), strict=True)
        )
    if options.write:
        RECORD.write_text(json.dumps({"machine": machine(), "sha256": found}, indent=1) + "\n")
        return 0
    recorded = json.loads(RECORD.read_text())
    if recorded["machine"] != machine():
        print(f"recorded on another machine: {recorded['machine']}; this is {machine()}")
    changed = [name for name in names if recorded["sha256"].get(name) != found[name]]
    print(
        *(f"changed: {name}" for name in changed), f"{len(names) - len(changed)} of {len(names)} as recorded", sep="\n"
    )
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
