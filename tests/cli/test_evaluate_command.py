"""`unit evaluate` and `unit plot`: on a run's own data unless told otherwise; what is refused, and what is written."""

import json
import shutil
from pathlib import Path

import pytest
from conftest import Command, Tiny
from digit_toys import options, write_mnist
from run_files import contents, refused

import unit
from unit.data.decoding import read_image
from unit.evaluation import METRICS


@pytest.fixture(scope="module")
def finished(tiny: Tiny, run_command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert run_command("train", *tiny(folder, "--optim.ema", "0")).code == 0
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture(scope="module")
def digits(run_command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished VAE, which saw digits that are beside it."""
    folder = tmp_path_factory.mktemp("digits")
    root = write_mnist(folder / "mnist")
    said = run_command("train", *options("vae", "--run.output", folder / "run", data__root=root))
    assert said.code == 0, said.err
    return folder / "run"


def test_a_run_is_evaluated_on_its_own_data_in_tables(run: Path, run_command: Command) -> None:
    said = run_command("main", "evaluate", "--model", run)
    assert said.code == 0, said.err
    assert "balanced" in said.out and "constant color" in said.out and "another map" in said.out
    assert "round trip" in said.out and "taken for the target domain" in said.out and "pairs in the order" in said.out
    tables = said.out.rstrip("\n").split("\n\n")
    written = json.loads((run / "evaluation.json").read_text())
    assert list(written) == ["maps", "psnr", "ssim", "classifier", "round_trip", "neighbors", "pairing"] and len(
        tables
    ) == len(written)
    assert said.out == "\n\n".join(map(str, unit.evaluate(run).values())) + "\n"


def test_other_metrics_figures_stay_in_evaluation_json(run: Path, run_command: Command) -> None:
    for name in ("round_trip", "pairing"):
        assert run_command("main", "evaluate", "--model", run, "--metrics", name).code == 0
    written = json.loads((run / "evaluation.json").read_text())
    assert written.keys() == {"round_trip", "pairing"}
    assert written["round_trip"]["figures"].keys() == {"a2b2a", "b2a2b"}


def test_data_of_another_place_beats_the_runs(run: Path, toys: Path, run_command: Command, tmp_path: Path) -> None:
    for folder in ("testA", "testB"):
        (tmp_path / "few" / folder).mkdir(parents=True)
        shutil.copy(toys / folder / "00001.png", tmp_path / "few" / folder)
    own, few = (
        run_command("main", "evaluate", "--model", run, "--metrics", "round_trip", *more)
        for more in ([], ["--data.root", tmp_path / "few"])
    )
    assert own.code == few.code == 0 and own.out != few.out
    scaled = run_command("main", "evaluate", "--model", run, "--metrics", "round_trip", "--resize", "12")
    assert scaled.code == 0 and scaled.out != own.out


def test_a_run_whose_data_has_gone_says_where_it_was(run: Path, run_command: Command) -> None:
    text = (run / "config.yaml").read_text()
    root = next(line.split(": ")[1] for line in text.splitlines() if line.strip().startswith("root:"))
    (run / "config.yaml").write_text(text.replace(root, "/nowhere"))
    for command in ("evaluate", "plot"):
        refused(run_command("main", command, "--model", run), "/nowhere/testA")
    assert not (run / "evaluation.json").exists() and not (run / "plots").exists()


def test_a_picture_of_inputs_translations_and_truths(run: Path, run_command: Command, tmp_path: Path) -> None:
    grid = tmp_path / "pictures" / "grid.png"
    said = run_command("main", "evaluate", "--model", run, "--metrics", "maps", "--grid", grid)
    assert said.code == 0, said.err
    assert read_image(grid, channels=3).shape == (3, 3 * 24 + 4, 3 * 24 + 4)


def test_a_picture_needs_a_translator(digits: Path, run_command: Command, tmp_path: Path) -> None:
    refused(run_command("main", "evaluate", "--model", digits, "--grid", tmp_path / "grid.png"), "grid", "autoencoder")
    assert not (tmp_path / "grid.png").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--metrics", "FID"], ["metric", "FID", *METRICS]),
        (["--metrics", "maps,bound"], ["metric bound has no figures here", "unit"]),
        (["--data.root", "/nowhere"], ["/nowhere/testA"]),
        (["--resize", "0"], ["resize", "at least 1"]),
        (["--resize", "wide"], ["--resize", "wide"]),
        (["--split", "train"], ["--split", "test", "held_out"]),
    ],
)
def test_a_wrong_evaluation_is_one_line(options: list[str], words: list[str], run: Path, run_command: Command) -> None:
    before = contents(run)
    refused(run_command("main", "evaluate", "--model", run, *options), *words)
    assert contents(run) == before


@pytest.mark.parametrize("command", ["evaluate", "plot"])
def test_a_model_that_is_not_there(command: str, run_command: Command, tmp_path: Path) -> None:
    refused(run_command("main", command), "--model", f"unit {command} --help")
    refused(run_command("main", command, "--model", "/nowhere"), "/nowhere")
    refused(run_command("main", command, "--model", tmp_path), "no model")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("given", [["--metrics", "list"], ["--metrics=list"]])
def test_metrics_are_listed_without_a_model(given: list[str], run_command: Command) -> None:
    said = run_command("main", "evaluate", *given)
    assert said.code == 0, said.err
    lines = [line.split(maxsplit=1) for line in said.out.splitlines()]
    assert [name for name, _ in lines] == list(METRICS) and all(text for _, text in lines)
    texts = dict(lines)
    assert "EfficientNet-lite0" in texts["kid_efficientnet"] and "Inception" in texts["kid"]
    assert {name for name, text in lines if text.endswith("(where it is named)")} == {"lpips", "kid", "fid"}


def test_a_model_of_a_run_of_another_kind_needs_to_know_where_its_data_is(
    run: Path, digits: Path, run_command: Command
) -> None:
    """Its config.yaml is of two domains: no data of an autoencoder."""
    for name in ("config.json", "model.safetensors"):
        shutil.copy(digits / name, run)
    shutil.rmtree(run / "checkpoints")
    refused(run_command("main", "evaluate", "--model", run), "config")


# unit plot


def test_a_translators_codes_are_plotted_beside_the_model(run: Path, run_command: Command) -> None:
    said = run_command("main", "plot", "--model", run)
    names = ("latent", "neighbors_a2b", "neighbors_b2a", "interpolations")
    assert (said.code, said.out) == (0, "".join(f"{run / 'plots' / name}.png\n" for name in names)), said.err
    before = contents(run)
    refused(run_command("main", "plot", "--model", run), "latent.png", "--overwrite")
    assert contents(run) == before
    assert run_command("main", "plot", "--model", run, "--overwrite").code == 0


def test_an_autoencoders_pictures_are_written_where_asked(digits: Path, run_command: Command, tmp_path: Path) -> None:
    said = run_command("main", "plot", "--model", digits, "--output", tmp_path / "new" / "pictures")
    assert said.code == 0, said.err
    assert sorted(map(Path, said.out.splitlines())) == sorted((tmp_path / "new" / "pictures").iterdir())
    assert {path.stem for path in (tmp_path / "new" / "pictures").iterdir()} >= {"reconstructions", "samples"}
    assert not (digits / "plots").exists()


@pytest.mark.parametrize("options", [["--data.root", "/nowhere"], ["--output", "FILE"], ["--resize", "0"]], ids=str)
def test_a_wrong_plot_is_one_line(options: list[str], run: Path, run_command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    before = contents(tmp_path)
    given = [tmp_path / "file" if option == "FILE" else option for option in options]
    refused(run_command("main", "plot", "--model", run, *given))
    assert contents(tmp_path) == before
