"""What one training step of the paper's networks costs: operations of the convolutions, time, and peak memory.

python benchmarks/step.py [--size 128] [--batch 1] [--steps 3] [--device cpu]
"""

import argparse
import resource
import time

import torch
from accelerate import Accelerator
from torch.utils.flop_counter import FlopCounterMode

from unit.config import OptimConfig
from unit.data.batches import Shard
from unit.data.domain import domain_of_array
from unit.data.two_domains import TranslationBatch, UnpairedBatches
from unit.methods.unit import Unit, UnitConfig
from unit.training.optim import adam, moving_average
from unit.training.step import training_step


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    device = torch.device(options.device)
    accelerator = Accelerator(cpu=device.type == "cpu")
    torch.manual_seed(0)
    config = UnitConfig()
    images = domain_of_array(torch.zeros(1, 3, config.data.size, config.data.size, dtype=torch.uint8))
    method = Unit(config, UnpairedBatches(images, images, config.data, Shard(0, options.batch)))
    average = moving_average(method.translator.to(device), 0.999)
    method.discriminators.to(device)
    assert average is not None
    optimizers = {name: adam([network], OptimConfig(), device) for name, network in method.networks.items()}
    x = torch.rand(2, options.batch, 3, options.size, options.size, device=device) * 2 - 1
    times = []
    with FlopCounterMode(display=False) as counter:
        for step in range(options.steps):
            begun = time.perf_counter()
            batch = TranslationBatch(x[0], x[1], step, range(options.batch), 0)
            for _ in training_step(method, method.networks, [batch], accelerator, optimizers):
                pass
            average.update_parameters(method.translator)
            if device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - begun)
    print(f"{options.batch} × {options.size}² a domain on {device}, {torch.get_num_threads()} threads")
    print(f"convolutions  {counter.get_total_flops() / options.steps / 1e9:.1f} GFLOP per step")
    print(f"time          {sorted(times)[len(times) // 2]:.3f} s per step (median)")
    print(f"peak memory   {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB resident")


if __name__ == "__main__":
    main()
