"""A pool of earlier translations that a discriminator judges (Shrivastava et al. 2017; CycleGAN, section 4)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from unit import draws

Gather = Callable[[Tensor], Tensor]
"""The tensors of all processes one after another along the first dimension."""


class ImagePool(nn.Module):
    """The last translations but not in order: `size` images, float (size, C, H, W), a buffer that is saved and resumed.

    While it fills, each translation is stored and judged. Then, with probability ½, a translation takes the place of
    a random one, which is judged instead of it; else it is judged itself. What happens to the image at a position of a
    step is a function of (seed, key, step, position), and no two images of a step share a place; so the pool is the
    same on any number of processes and micro-batches. With one image a step it is CycleGAN's.
    """

    images: Tensor

    def __init__(self, size: int, shape: tuple[int, int, int], key: str) -> None:
        super().__init__()
        self.size, self.key = size, key
        self.register_buffer("images", torch.zeros(size, *shape))

    def exchange(
        self, x: Tensor, *, seed: int, step: int, positions: Sequence[int], batch_size: int, gather: Gather
    ) -> Tensor:
        """What is judged in place of the translations x of a process: float (B, C, H, W) → the same shape, detached.

        Args:
            x: this process's part of the step's batch.
            seed: the run's.
            step: counted from 0.
            positions: which of the step's global batch they are.
            batch_size: images of the global batch, at most the pool's size.
            gather: collects tensors of all processes, which take part together.
        """
        x = x.detach()
        of_all = gather(x.contiguous())
        # Each process holds a run of the batch, of which this is the same part as the others'.
        share = batch_size * len(x) // len(of_all)
        everywhere = [start + p % share for start in range(0, batch_size, share) for p in positions]
        stored, swapped = self.places(seed, step, batch_size)
        judged = {position: x[row] for row, position in enumerate(positions)}
        for position in positions:
            if position in swapped:
                judged[position] = self.images[swapped[position]].to(x.dtype, copy=True)
        for row, position in enumerate(everywhere):
            place = stored.get(position, swapped.get(position))
            if place is not None:
                self.images[place] = of_all[row].to(self.images.dtype)
        return torch.stack([judged[position] for position in positions])

    def places(self, seed: int, step: int, batch_size: int) -> tuple[dict[int, int], dict[int, int]]:
        """By position in the step's batch: the free places that images are stored in, and those at which they replace
        an image, which is judged instead."""
        first = step * batch_size
        if first < self.size:
            return {p: first + p for p in range(batch_size) if first + p < self.size}, {}
        order = draws.permutation(self.size, seed, "pool", self.key, "place", step).tolist()
        chances = draws.uniforms(batch_size, seed, "pool", self.key, "swap", step).tolist()
        return {}, {p: order[p] for p in range(batch_size) if chances[p] < 0.5}
