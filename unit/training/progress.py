"""The course of a training on the terminal: a bar, or plain lines where the output is no terminal."""

import sys
import time
from collections.abc import Mapping

from tqdm import tqdm


class Progress:
    """Steps done, the loss terms, images a second and the time left."""

    def __init__(self, *, steps: int, start: int, shown: bool) -> None:
        self.steps = steps
        self.begun, self.start = time.monotonic(), start
        self.plain = shown and not sys.stderr.isatty()
        self.bar = tqdm(
            total=steps, initial=start, disable=not shown or self.plain, unit="step", dynamic_ncols=True, smoothing=0.05
        )

    def advance(self) -> None:
        self.bar.update()

    def report(self, step: int, terms: Mapping[str, float], images_per_second: float) -> None:
        """Show the terms, the two domains' averaged, and the speed."""
        text = "  ".join(f"{name} {value:.3g}" for name, value in over_domains(terms).items())
        text += f"  {images_per_second:.3g} images/s"
        if self.plain:
            left = (time.monotonic() - self.begun) / (step - self.start) * (self.steps - step)
            print(f"step {step}/{self.steps}  {text}  {tqdm.format_interval(left)} left", flush=True)
        else:
            self.bar.set_postfix_str(text, refresh=False)

    def say(self, line: str) -> None:
        """Print a line, above the bar if there is one."""
        if self.bar.disable:
            print(line, flush=True)
        else:
            self.bar.write(line)

    def close(self) -> None:
        self.bar.close()


def over_domains(terms: Mapping[str, float]) -> dict[str, float]:
    """Terms of the same name averaged over the domains: cycle_a and cycle_b become cycle."""
    groups: dict[str, list[float]] = {}
    for name, value in terms.items():
        groups.setdefault(name.removesuffix("_a").removesuffix("_b"), []).append(value)
    return {name: sum(values) / len(values) for name, values in groups.items()}
