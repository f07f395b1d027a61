"""Whatever a file holds: nothing else is touched, nothing hangs, no memory is filled, and what is refused is refused in
one line."""

import hashlib
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from conftest import Said
from run_files import refused

import unit
from unit.text import LONGEST

ROOT = Path(unit.__file__).resolve().parent.parent
GIB = 2**30

needs_linux = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the size of a process is read in /proc")


def some_and_all(some: int, most: int) -> Any:
    """A small number each time, and in the slow proofs the large one."""
    return pytest.mark.parametrize("each", [some, pytest.param(most, marks=pytest.mark.slow)])


def snapshot(folder: Path, *, but: Path | None = None) -> dict[str, tuple[object, ...]]:
    """All that lies below a folder: kinds, rights, sizes, times of change, links' targets and small files' contents."""
    found: dict[str, tuple[object, ...]] = {}
    for here, folders, files in os.walk(folder):
        if but is not None and but.name in folders and Path(here) == but.parent:
            folders.remove(but.name)
        for name in [*folders, *files]:
            path = os.path.join(here, name)
            status = os.lstat(path)
            entry: list[object] = [status.st_mode, status.st_ino, status.st_size]
            if stat.S_ISLNK(status.st_mode):
                entry.append(os.readlink(path))
            elif stat.S_ISREG(status.st_mode):
                entry.append(status.st_mtime_ns)
                if status.st_size < 2**22:
                    entry.append(hashlib.sha256(Path(path).read_bytes()).digest())
            found[path] = tuple(entry)
    return found


@contextmanager
def no_longer_than(seconds: float) -> Iterator[None]:
    """Fail what hangs, even where it waits in the system."""

    def stop(*_: object) -> None:
        raise AssertionError(f"took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def peak() -> int:
    """The most memory, in bytes, that this process has had."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def assert_refused(said: Said, code: int = 2) -> None:
    """One printable line that is no longer than a terminal can bear, and the exit code."""
    refused(said, code=code)
    (line,) = said.err.splitlines()
    assert len(line) > len("error: ")
    assert line.isprintable() and len(line) <= LONGEST + 10


class Measured(NamedTuple):
    """How a process ended, what it said, and the most memory it had, in bytes."""

    code: int
    out: str
    err: str
    peak: int


BOUNDED = """
import atexit, pathlib, re, resource, runpy, sys, torch

def note():  # of this program alone; ru_maxrss counts what the process had before it became this program
    status = pathlib.Path("/proc/self/status").read_text()
    peak.write_text(re.search("VmHWM:\\s*([0-9]+) kB", status)[1])

peak = pathlib.Path("peak").absolute()
atexit.register(note)
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
limit = size + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
del sys.argv[:2]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def bounded(script: str, *arguments: str | Path, cwd: Path, seconds: float, memory: int) -> Measured:
    """Run a script in a process that gets `memory` bytes beside what importing torch takes, and ends in time."""
    command = [sys.executable, "-c", BOUNDED, str(memory), str(ROOT / script), *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii", "OMP_NUM_THREADS": "1"}
    with open(cwd / "stdout", "wb") as out, open(cwd / "stderr", "wb") as err:
        process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=out, stderr=err)
        try:
            code = process.wait(seconds)
        finally:
            process.kill()
    said = [(cwd / name).read_bytes().decode("ascii") for name in ("stdout", "stderr")]
    return Measured(code, said[0], said[1], 1024 * int((cwd / "peak").read_text()))
