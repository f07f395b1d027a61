"""Two folders are compared without a model."""

from pathlib import Path

import pytest
import torch
from conftest import Command
from inverters import noise_images
from run_files import refused

from unit.data.images import write_image
from unit.evaluation.folders import evaluate_folders, of_folders


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders of three images; the second's are 10 levels brighter."""
    images = noise_images(tmp_path / "one", (12, 14), (12, 14), (11, 12))
    (tmp_path / "other").mkdir()
    for number, image in enumerate(images):
        dark = image.clamp(0, 245)
        write_image(tmp_path / "one" / f"{number}.png", dark)
        write_image(tmp_path / "other" / f"{number}.png", dark + 10)
    return tmp_path / "one", tmp_path / "other"


def test_pairs_are_compared_by_name(folders: tuple[Path, Path]) -> None:
    found = evaluate_folders(*folders)
    assert found.keys() == {"psnr", "ssim"}  # too few for KID; FID and LPIPS are measured by name
    assert found["psnr"].rows["a2b"]["PSNR"] == pytest.approx(28.1308, abs=1e-4)  # 20·log₁₀(255/10)
    assert 0.9 < found["ssim"].rows["a2b"]["SSIM"] < 1


def test_the_command_prints_a_table(folders: tuple[Path, Path], run_command: Command) -> None:
    one, other = folders
    said = run_command("main", "evaluate", "--a", one, "--b", other, "--metrics", "psnr")
    assert said.code == 0, said.err
    assert said.out == f"{evaluate_folders(one, other, metrics=['psnr'])['psnr']}\n"
    assert sorted(path.name for path in one.parent.iterdir()) == ["one", "other"]


def test_kid_of_the_package_needs_no_network(folders: tuple[Path, Path], run_command: Command) -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    one, other = folders
    command = ["main", "evaluate", "--a", one, "--b", other, "--metrics", "kid_efficientnet"]
    refused(run_command(*command), "subsets are of 50 images", f"{one} has 3", "--subset")
    said = run_command(*command, "--subset", "3")
    assert said.code == 0, said.err
    assert said.out.split()[:2] == ["KID", "(efficientnet)"] and "EfficientNet-lite0" in said.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--a", "ONE"], ["--model, or --a and --b", "got --a"]),
        (["--model", "ONE", "--a", "ONE", "--b", "ONE"], ["got --model and --a and --b"]),
        (["--a", "ONE", "--b", "OTHER", "--split", "test"], ["--split", "of a model"]),
        (["--a", "ONE", "--b", "/nowhere"], ["/nowhere"]),
        (["--a", "ONE", "--b", "EMPTY"], ["empty", "no images in it"]),
        (["--a", "ONE", "--b", "OTHER", "--metrics", "round_trip"], ["round_trip", "it is of a model"]),
        (["--a", "ONE", "--b", "OTHER", "--metrics", "psnr,FID"], ["metric", "FID"]),
        (["--a", "ONE", "--b", "OTHER", "--metrics", "kid_efficientnet", "--subset", "1"], ["subset", "at least 2"]),
        (["--a", "ONE", "--b", "OTHER", "--subset", "few"], ["--subset", "few"]),
    ],
)
def test_a_wrong_comparison_is_one_line(
    options: list[str], words: list[str], folders: tuple[Path, Path], run_command: Command
) -> None:
    (folders[0].parent / "empty").mkdir()
    places = {"ONE": folders[0], "OTHER": folders[1], "EMPTY": folders[0].parent / "empty"}
    refused(run_command("main", "evaluate", *(places.get(option, option) for option in options)), *words)


def test_differing_names_and_sizes_are_named(folders: tuple[Path, Path]) -> None:
    one, other = folders
    write_image(other / "1.png", torch.zeros(3, 20, 20, dtype=torch.uint8))
    with pytest.raises(ValueError, match=rf"1.png has the shape \(3, 12, 14\), its truth in {other} \(3, 20, 20\)"):
        evaluate_folders(one, other, metrics=["ssim"])
    (other / "1.png").rename(other / "x.png")
    with pytest.raises(ValueError, match=f"{one} has 3 images and {other} 3; expected pairs under the same names"):
        evaluate_folders(one, other, metrics=["psnr"])
    with pytest.raises(ValueError, match="no metric applies to these two folders"):
        evaluate_folders(one, other)


def test_metrics_of_two_folders() -> None:
    assert of_folders() == ["psnr", "ssim", "lpips", "kid_efficientnet", "kid", "fid"]
