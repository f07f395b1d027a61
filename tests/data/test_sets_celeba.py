"""CelebA: faces are divided by an attribute and by the official partition."""

from pathlib import Path

import pytest
from set_toys import counts_of, list_files, write_image, zip_files

from unit.cli.data import data
from unit.data.sets import layout

SMILES = "01010110"  # one face each, in the order of the files
PARTITION = "00001122"


def _write_celeba(root: Path, *, partition: bool = True, zipped: bool = False) -> Path:
    names = [f"{i:06d}.png" for i in range(1, len(SMILES) + 1)]
    faces = root / "Img" / "img_align_celeba"
    for i, name in enumerate(names):
        write_image(faces / name, seed=i)
    if zipped:
        files = {f"img_align_celeba/{name}": (faces / name).read_bytes() for name in names}
        zip_files(root / "Img" / "img_align_celeba.zip", files)
        for name in names:
            (faces / name).unlink()
        faces.rmdir()
    (root / "Anno").mkdir()
    rows = [f"{n}  1 {'1' if s == '1' else '-1'}" for n, s in zip(names, SMILES, strict=True)]
    table = "\n".join([str(len(names)), "Young Smiling", *rows, ""])
    (root / "Anno" / "list_attr_celeba.txt").write_text(table)
    if partition:
        lines = [f"{n} {p}\n" for n, p in zip(names, PARTITION, strict=True)]
        (root / "Anno" / "list_eval_partition.txt").write_text("".join(lines))
    return root


@pytest.mark.parametrize("zipped", [False, True])
def test_celeba_is_split_by_attribute_and_official_partition(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], zipped: bool
) -> None:
    root, out = _write_celeba(tmp_path / "in", zipped=zipped), tmp_path / "out"
    before = list_files(root)
    command = ["celeba", "--attribute", "Smiling", "--source", str(root), "--output", str(out)]
    assert data(command) == 0
    for i, (smile, part) in enumerate(zip(SMILES, PARTITION, strict=True)):
        folder = out / f"{('train', 'val', 'test')[int(part)]}{'AB'[int(smile)]}"
        write_image(tmp_path / "expected.png", seed=i)
        face = folder / f"{i + 1:06d}.png"
        assert face.read_bytes() == (tmp_path / "expected.png").read_bytes()
    assert sum(counts_of(out).values()) == len(SMILES)
    assert list_files(root) == before
    warned = capsys.readouterr().err
    assert "list_attr_celeba.txt has md5" in warned
    assert "train has 4 images instead of 162770" in warned


def test_celeba_without_partition_tests_on_the_last_tenth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faces = [tmp_path / f"{i:03d}.jpg" for i in range(40)]
    split_of = layout._read_partition(None, faces)
    assert [split_of[face.name] for face in faces] == ["train"] * 36 + ["test"] * 4
    assert "list_eval_partition.txt" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("attribute", "spoil", "message"),
    [
        ("Smilling", "", "no attribute 'Smilling'; expected one of Young, Smiling"),
        ("Young", "", "trainA would be empty for Young"),
        ("Smiling", "Anno/list_attr_celeba.txt", "expected 1 or -1 for each of 2 attributes"),
        ("Smiling", "Anno/list_eval_partition.txt", "expected a file name and 0, 1 or 2"),
    ],
)
def test_celebas_faults_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], attribute: str, spoil: str, message: str
) -> None:
    root = _write_celeba(tmp_path / "in")
    if spoil:
        with open(root / spoil, "a") as file:
            file.write("000009.png 3\n")
    out = str(tmp_path / "out")
    command = ["celeba", "--attribute", attribute, "--source", str(root), "--output", out]
    assert data(command) == 1
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]
