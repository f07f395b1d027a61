"""The pool: CycleGAN's with one image a step; and the same however a batch is divided."""

import torch

from unit.methods.image_pool import ImagePool

SIZE = 6


def numbered(step: int, count: int) -> torch.Tensor:
    """Images (count, 1, 1, 1) that are their numbers in the training, from 1."""
    return (torch.arange(count) + step * count + 1.0).reshape(count, 1, 1, 1)


def exchanged(pool: ImagePool, step: int, count: int, parts: int = 1, processes: int = 1) -> list[float]:
    """What is judged in a step, by position, of `processes` that take their share in `parts` micro-batches. Processes
    are taken one after another, each with a pool of its own that is left as the first's."""
    x, each = numbered(step, count), count // (parts * processes)
    out = [0.0] * count
    for part in range(parts):
        starts = [(rank * parts + part) * each for rank in range(processes)]
        everyone = torch.cat([x[start : start + each] for start in starts])
        before = pool.images.clone()
        for start in starts:
            pool.images.copy_(before)
            judged = pool.exchange(
                x[start : start + each], seed=3, step=step, positions=range(start, start + each), batch_size=count,
                gather=lambda _, everyone=everyone: everyone,
            )  # fmt: skip
            out[start : start + each] = judged.flatten().tolist()
    return out


def test_it_fills_then_swaps_half_of_the_time() -> None:
    pool = ImagePool(SIZE, (1, 1, 1), "a")
    assert [exchanged(pool, step, 1)[0] for step in range(SIZE)] == [1, 2, 3, 4, 5, 6]
    held, swaps, steps = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}, 0, 2000
    for step in range(SIZE, SIZE + steps):
        (judged,), new = exchanged(pool, step, 1), step + 1.0
        if judged != new:
            assert judged in held
            held = held - {judged} | {new}
            swaps += 1
        assert set(pool.images.flatten().tolist()) == held
    assert abs(swaps / steps - 0.5) < 4 * 0.5 / steps**0.5


def test_it_is_the_same_on_any_number_of_processes_and_micro_batches() -> None:
    divisions = [(1, 1), (2, 1), (1, 2), (2, 2), (1, 4)]
    pools = [ImagePool(SIZE, (1, 1, 1), "a") for _ in divisions]
    for step in range(20):
        judged = [
            exchanged(pool, step, 4, parts, processes)
            for pool, (parts, processes) in zip(pools, divisions, strict=True)
        ]
        assert all(one == judged[0] for one in judged)
        assert all(torch.equal(pool.images, pools[0].images) for pool in pools)


def test_domains_swap_apart() -> None:
    a, b = (ImagePool(SIZE, (1, 1, 1), key) for key in "ab")
    assert [exchanged(a, step, 1) for step in range(40)] != [exchanged(b, step, 1) for step in range(40)]
