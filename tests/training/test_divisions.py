"""Any number of processes gives the same training.

What holds but for rounding is checked in float64, where rounding is nothing. In fp32 one activation that rounding
carries over the kink of a ReLU is enough for Adam to make 1e-3 of it in twenty steps of networks as small as these; so
there the kinks are taken out.
"""

from pathlib import Path

import pytest
from conftest import Command
from digit_toys import METHODS, assert_close, logged_by
from divided import UNIT, Arguments, arguments_below, diary_of
from group import Images, Job, diary, train_in_group
from run_files import assert_same, newest
from sibling_toys import ADAPTED, SIBLINGS

SOME = ["unit", "unit adversarial", "cyclegan", "discogan", "vae denoising", "aae_semi"]
"""Of each kind of step one."""
SHORT = [
    "unit kl_learned",
    "unit mmd",
    "unit mixed",
    "pix2pix",
    "cyclegan shared",
    "cut",
    "fastcut",
    *ADAPTED,
    "m1",
    "m2",
    "m1m2",
    "vae weighted",
    "aae informed",
    "aae combined normed",
    "aae_cluster heads",
    "vae_gan",
    "wae",
]
"""Whose steps are like those of some, with something that is drawn or averaged otherwise."""
BROKEN = ["unit adversarial", "cyclegan", "discogan"]
"""Broken off and resumed, with pools and with steps that train other networks than the step before."""
FP32 = ["unit", "aae informed"]
WHOLE, ACCUMULATED, TWO, FOUR, TWO_ACCUMULATED = (1, 1), (1, 2), (2, 1), (4, 1), (2, 2)
"""Processes, and the micro-batches in which each takes its share of a batch."""
FAULTY = {
    "bare translator": ("unit", TWO, "the ranks differ"),
    "bare discriminators": ("unit", TWO, "the ranks differ"),
    "bare encoder": ("aae_semi", TWO, "the ranks differ"),
    "two backward passes": ("unit", TWO, "the ranks differ"),
    "local batch size": ("unit", TWO, "the images differ"),
    "latent by rank": ("unit", TWO, "adam-discriminators exp_avg"),
    "augmentation by rank": ("unit", TWO, "discriminators"),
    "digits' noise by rank": ("vae denoising", TWO, "encoder"),
    "undivided loss": ("unit", ACCUMULATED, "adam-discriminators exp_avg"),
}
"""By fault: what is trained with it, by how many, and how it is found."""

LIMIT = 240
"""Seconds for a group that trains many."""

STEPS = 8
"""Of each training; 20 in the slow proof."""

Division = tuple[int, int]


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> Arguments:
    return arguments_below(tmp_path_factory.mktemp("data"))


def assert_same_training(one: Path, other: Path, *, within: float) -> None:
    """Of both the ranks are one after every step; each step's images are the same; and so are the weights and what was
    logged, but for rounding."""
    assert ranks_agree(one) and ranks_agree(other), "the ranks differ"
    assert images_of(one) == images_of(other), "the images differ"
    assert_close(newest(one), newest(other), within=within)
    for mine, theirs in zip(logged_by(one), logged_by(other), strict=True):
        assert theirs == pytest.approx(mine, rel=100 * within, abs=10 * within), "the log differs"


def ranks_agree(run: Path) -> bool:
    steps = diary(diary_of(run))
    assert [*sorted(steps)] == [*range(newest(run).scalars["step"])]
    return all(len({entry.weights for entry in entries}) == 1 for entries in steps.values())


def images_of(run: Path) -> dict[int, Images]:
    """Each step's images by domain and position in the global batch."""
    steps: dict[int, Images] = {}
    for step, entries in diary(diary_of(run)).items():
        together = steps.setdefault(step, {})
        for entry in entries:
            for domain, images in entry.images.items():
                together[domain] = together.get(domain, {}) | images
    return steps


def run_of(root: Path, name: str, division: Division) -> Path:
    return root / name / f"{division[0]} × {division[1]}"


def jobs_of(division: Division, names: list[str], arguments: Arguments, root: Path, steps: int) -> list[Job]:
    """All that is trained in one division."""
    jobs = []

    def add(name: str, command: list[str], *, fault: str = "", double: bool = True) -> None:
        run = run_of(root, name, division)
        more = ["--train.accumulation", str(division[1]), "--run.output", str(run)]
        jobs.append(Job([*command, *more], diary_of(run), fault, double, smooth=not double))

    for name in names:
        add(name, arguments(name, steps=steps))
    for name in SHORT if division in (WHOLE, TWO) else ():
        add(f"short {name}", arguments(name, steps=2))
    for name in FP32 if division != ACCUMULATED else ():
        add(f"fp32 {name}", arguments(name, steps=steps), double=False)
    for fault, (name, faulty, _) in FAULTY.items():
        if division in (WHOLE, faulty):
            add(fault, arguments(name, steps=3), fault="" if division == WHOLE else fault)
    if division in (TWO, FOUR):
        for name in BROKEN:
            add(f"unbroken {name}", arguments(name, steps=4), double=False)
            add(f"broken {name}", arguments(name, steps=2), double=False)
            whole = str(run_of(root, f"broken {name}", division))
            add(f"broken {name}", ["--resume", whole, "--train.steps", "4"], double=False)
    for data in ["one image", "fewer than a batch"] if division != ACCUMULATED else ():
        often = [part for key in ("log", "sample", "checkpoint") for part in (f"--train.{key}_every", "1")]
        add(data, arguments("unit", *often, data=data, steps=3))
    return jobs


def passed_on(root: Path, arguments: Arguments, *, until: int) -> Job:
    """The next stage of one training."""
    run = root / "passed on"
    start = ["--resume", str(run)] if run.exists() else arguments("unit", "--run.output", str(run))
    return Job([*start, "--train.steps", str(until)], diary_of(run), double=True)


def train_divided(
    names: list[str], divisions: list[Division], arguments: Arguments, root: Path, *, steps: int = STEPS
) -> Path:
    """The same trainings in each division, and one that is passed on from 1 process to 2, to 4 and back to 1."""
    for count, quarters in ((1, 1), (2, 2), (4, 3)):
        jobs = [
            job
            for division in divisions
            if division[0] == count
            for job in jobs_of(division, names, arguments, root, steps)
        ]
        passed = passed_on(root, arguments, until=quarters * steps // 4)
        train_in_group(count, [*jobs, passed], root / f"group of {count}", limit=LIMIT)
    train_in_group(1, [passed_on(root, arguments, until=steps)], root / "the last", limit=LIMIT)
    return root


@pytest.fixture(scope="module")
def some(arguments: Arguments, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_divided(SOME, [WHOLE, ACCUMULATED, TWO, FOUR], arguments, tmp_path_factory.mktemp("some"))


@pytest.mark.parametrize("division", [ACCUMULATED, TWO, FOUR], ids=str)
@pytest.mark.parametrize("name", SOME)
def test_any_division_gives_the_same_training(name: str, division: Division, some: Path) -> None:
    assert_same_training(run_of(some, name, WHOLE), run_of(some, name, division), within=1e-10)


@pytest.mark.parametrize("division", [TWO, FOUR], ids=str)
@pytest.mark.parametrize("name", FP32)
def test_in_fp32_too(name: str, division: Division, some: Path) -> None:
    whole, parts = (run_of(some, f"fp32 {name}", d) for d in (WHOLE, division))
    assert_same_training(whole, parts, within=1e-5)


def test_the_number_of_processes_may_change_at_a_resume(some: Path) -> None:
    steps = diary(diary_of(some / "passed on"))
    assert [len(steps[step]) for step in range(STEPS)] == [1, 1, 2, 2, 4, 4, 1, 1]
    assert_same_training(run_of(some, "unit", WHOLE), some / "passed on", within=1e-10)


@pytest.mark.parametrize("division", [TWO, FOUR], ids=str)
@pytest.mark.parametrize("name", BROKEN)
def test_a_resumed_training_ends_bit_for_bit_as_the_unbroken_one(name: str, division: Division, some: Path) -> None:
    whole, resumed = (newest(run_of(some, f"{kind} {name}", division)) for kind in ("unbroken", "broken"))
    assert_same(whole, resumed)


@pytest.mark.parametrize("division", [TWO, FOUR], ids=str)
@pytest.mark.parametrize("data", ["one image", "fewer than a batch"])
def test_no_number_of_images_is_too_few_or_uneven(data: str, division: Division, some: Path) -> None:
    """With logging, sampling and saving at each step, which rank 0 does alone."""
    assert_same_training(run_of(some, data, WHOLE), run_of(some, data, division), within=1e-10)
    assert len(list((run_of(some, data, division) / "samples").iterdir())) == 3


@pytest.mark.parametrize("fault", FAULTY)
def test_a_fault_is_found(fault: str, some: Path) -> None:
    """What the tests above find right they find wrong where it is."""
    _, division, found = FAULTY[fault]
    with pytest.raises(AssertionError, match=found):
        assert_same_training(run_of(some, fault, WHOLE), run_of(some, fault, division), within=1e-10)


@pytest.mark.parametrize("name", SHORT)
def test_two_processes_give_the_same_training(name: str, some: Path) -> None:
    assert_same_training(run_of(some, f"short {name}", WHOLE), run_of(some, f"short {name}", TWO), within=1e-10)


@pytest.mark.slow
def test_every_method_in_any_division(arguments: Arguments, tmp_path: Path) -> None:
    names, divisions = (
        [*UNIT, *SIBLINGS, *ADAPTED, *METHODS],
        [ACCUMULATED, TWO, TWO_ACCUMULATED, FOUR],
    )
    train_divided(names, [WHOLE, *divisions], arguments, tmp_path, steps=20)
    for division in divisions:
        for name in names:
            assert_same_training(run_of(tmp_path, name, WHOLE), run_of(tmp_path, name, division), within=1e-10)


# What Accelerate's own config asks for


@pytest.mark.parametrize("scheme", ["FSDP", "DEEPSPEED", "MEGATRON_LM"])
def test_networks_are_not_divided(
    scheme: str, arguments: Arguments, run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accelerate would ignore FSDP on CPUs; on GPUs a checkpoint would hold a part of the weights."""
    monkeypatch.setenv(f"ACCELERATE_USE_{scheme}", "true")
    said = run_command("train", *arguments("unit"), "--run.output", tmp_path / "run")
    assert said.code == 2 and said.err.startswith(f"error: {scheme} would divide the networks")
    assert len(said.err.splitlines()) == 1 and not (tmp_path / "run").exists()


def test_accumulation_is_the_configs(
    arguments: Arguments, run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accelerate would divide each loss by its own number of micro-batches; another number than ours is refused."""
    for run in (tmp_path / "one", tmp_path / "other"):
        assert run_command("train", *arguments("unit", steps=2), "--run.output", run).code == 0
        monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1")
    assert_close(newest(tmp_path / "one"), newest(tmp_path / "other"), within=1e-12)
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    said = run_command("train", *arguments("unit", steps=2), "--run.output", tmp_path / "third")
    assert said.code == 2 and "--train.accumulation 4" in said.err
