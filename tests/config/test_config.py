"""Laws of the configuration: each key is an option, the command line beats the file, and what is written is read."""

import ast
import inspect
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from unit import config as configuration
from unit.cli.arguments import parse_config
from unit.config import ConfigError, OptimConfig, RunConfig, TrainConfig, config_names, differences, schema, to_yaml
from unit.config.data import ImagesConfig, LabeledDomainConfig, LabeledImagesConfig, TwoDomainsConfig
from unit.config.schema import flat
from unit.methods import METHODS, find_method
from unit.methods.unit import LossConfig, UnitConfig
from unit.models.unit import UnitModelConfig

ROOT = Path(__file__).resolve().parents[2]
KEYS = flat(asdict(UnitConfig()))
PUBLIC = (
    "data.root", "data.size", "model.shared_blocks", "model.regularizer", "optim.lr", "train.steps",
    "train.batch_size", "train.checkpoint_every", "run.output", "run.seed",
)  # fmt: skip


def written(folder: Path, text: str) -> Path:
    """A config file of this text."""
    file = folder / "experiment.yaml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_parses_by_path_and_by_name(path: Path) -> None:
    by_path = parse_config(["--config", str(path)])
    assert parse_config(["--config", path.name]) == by_path
    assert parse_config([f"--config={path.stem}"]) == by_path
    assert configuration.load(path) == configuration.load(path.stem) == by_path


def test_without_arguments_all_is_as_by_default() -> None:
    assert parse_config([]) == UnitConfig()


def test_the_defaults_are_the_papers() -> None:
    config = UnitConfig()
    assert (config.model.width, config.model.downsamplings, config.model.blocks) == (64, 2, 4)
    assert (config.model.shared_blocks, config.model.regularizer) == (1, "kl")
    assert config.loss == LossConfig("bce", 10.0, 0.1, 100.0, 0.1, 100.0, perceptual=0.0)
    assert (config.optim.lr, config.optim.beta1, config.optim.beta2) == (1e-4, 0.5, 0.999)
    assert (config.train.batch_size, config.run.seed) == (1, 0)


@pytest.mark.parametrize("key", PUBLIC)
def test_the_public_keys_exist(key: str) -> None:
    assert key in KEYS


def test_each_key_is_an_option() -> None:
    """Give each key a value other than its default, alone; just that key changes."""
    values: dict[str, Any] = {
        "data.channels": 1, "data.channels_b": 1, "data.resize": 300, "data.jitter": 0.5, "model.regularizer": "none",
        "model.upsampling": "resize", "model.encoder_norm": "instance", "model.generator_norm": "layer",
        "model.padding": "reflect", "model.init": "kaiming", "model.last_kernel": 3, "loss.gan_kind": "hinge",
        "optim.schedule": "cosine", "optim.beta1": 0.25, "optim.beta2": 0.75, "optim.step_factor": 0.25,
        "discriminator.init": "kaiming", "optim.ema": 0.5, "train.precision": "bf16", "run.tracker": "none",
        "data.size": 128, "model.generator_blocks": 2, "model.down_padding": "zeros", "model.bias": "always",
        "model.dropout": 0.5, "discriminator.kind": "patchgan", "discriminator.first_kernel": 7, "discriminator.norm":
        "instance", "discriminator.padding": "reflect", "discriminator.pool": 50,
        "loss.cycle_b": 50.0,
        "validate.split": "val", "validate.share": 0.5, "validate.images": 7, "validate.pairs": "none",
    }  # fmt: skip
    for key, default in KEYS.items():
        if key not in values:
            match default:
                case bool():
                    values[key] = not default
                case int() | float():
                    values[key] = default + 1
                case _:
                    values[key] = "elsewhere"
        given = flat(asdict(parse_config([f"--{key}", str(values[key]).lower()])))
        assert given == KEYS | {key: values[key]}, key
        assert type(given[key]) is type(values[key]), key


def test_the_file_beats_the_defaults_and_the_command_line_beats_the_file(tmp_path: Path) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_text("optim:\n  lr: 1.0e-3\n  beta1: 0.25\n")
    config = parse_config(["--config", str(file), "--optim.lr", "2e-4"])
    assert config.optim == OptimConfig(lr=2e-4, beta1=0.25)
    assert replace(config, optim=OptimConfig()) == UnitConfig()


def test_the_command_line_beats_the_file_in_whatever_order_they_come(tmp_path: Path) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_text("optim:\n  lr: 1.0e-3\n")
    assert parse_config(["--optim.lr", "2e-4", "--config", str(file)]).optim.lr == 2e-4


def test_a_number_may_be_written_with_an_exponent_only(tmp_path: Path) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_text("optim:\n  lr: 1e-3\n")  # a string to YAML 1.1
    assert parse_config(["--config", str(file)]).optim.lr == parse_config(["--optim.lr", "1e-3"]).optim.lr == 1e-3


def test_null_is_what_keeps_sizes() -> None:
    assert parse_config(["--data.resize", "300", "--data.resize", "null"]).data.resize is None


# From Python


def test_values_by_key_replace_the_files(tmp_path: Path) -> None:
    file = written(tmp_path, "optim:\n  lr: 1.0e-3\n  beta1: 0.25\n")
    config = configuration.load(file, {"optim.lr": 2e-4, "train.steps": 7, "data.a": ["x", "y.txt"]})
    assert config.optim == OptimConfig(lr=2e-4, beta1=0.25)
    assert config == parse_config(
        ["--config", str(file), "--optim.lr=2e-4", "--train.steps=7", '--data.a=["x", "y.txt"]']
    )
    assert configuration.load(str(file), {}) == configuration.load(file)


def test_paths_by_key_are_folders(tmp_path: Path) -> None:
    file = written(tmp_path, "optim:\n  lr: 1.0e-3\n")
    config = configuration.load(file, {"data.root": tmp_path, "data.b": [tmp_path / "b", "c"], "run.output": tmp_path})
    assert (config.data.root, config.run.output) == (str(tmp_path), str(tmp_path))
    assert config.data.b == [str(tmp_path / "b"), "c"]


def test_a_method_may_be_given_by_key_too(tmp_path: Path) -> None:
    file = written(tmp_path, "optim:\n  lr: 1.0e-3\n")
    config = configuration.load(file, {"method": "vae", "model.latent": 3})
    assert (config.method, config.optim.lr) == ("vae", 1e-3)
    assert config == parse_config(["--config", str(file), "--method", "vae", "--model.latent", "3"])


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"optim.lrr": 1}, "unknown key optim.lrr; did you mean optim.lr"),
        ({"optim.lr": -1}, "optim.lr: expected a number above 0, got -1"),
        ({"optim.lr": "fast"}, "optim.lr: expected float, got fast"),
        ({"train.steps": 1.5}, "train.steps: expected int, got 1.5"),
        ({"optim.lr": True}, "optim.lr: expected float, got True"),
        ({"optim.lr": None}, "optim.lr: expected float, got null"),
        ({"optim": 3}, "optim: expected a section"),
        ({"optim.lr.x": 3}, "unknown key optim.lr.x"),
        ({"lr": 3}, "unknown key lr"),
        ({"method": "gan"}, "method: expected one of unit, cyclegan"),
    ],
    ids=lambda value: str(value),
)
def test_wrong_values_by_key_are_refused(tmp_path: Path, overrides: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configuration.load(written(tmp_path, "optim:\n  lr: 1.0e-3\n"), overrides)
    assert words in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_a_section_by_key_replaces_the_keys_it_gives(tmp_path: Path) -> None:
    file = written(tmp_path, "optim:\n  lr: 1.0e-3\n  beta1: 0.25\n")
    assert configuration.load(file, {"optim": {"lr": 2e-4}}).optim == OptimConfig(lr=2e-4, beta1=0.25)


def test_the_configs_that_come_with_unit_are_found_by_name() -> None:
    assert config_names() == sorted(path.stem for path in (ROOT / "configs").glob("*.yaml"))
    assert {"maps", "toymaps", "mnist_vae"} <= {*config_names()}


# What is written is read


CONFIGS = (
    UnitConfig(),
    UnitConfig(
        data=TwoDomainsConfig("data/ö b: c", "a", ["b", "c.txt"], 1, 3, 40, 32, False, 1.25, 0.5, 0.0, 0),
        model=UnitModelConfig(
            4,
            1,
            2,
            3,
            2,
            "none",
            4,
            4,
            7,
            "transposed",
            "layer",
            "instance",
            0.0,
            "reflect",
            "zeros",
            "always",
            0.25,
            "xavier",
        ),
        loss=LossConfig("lsgan", 1.0, 0.0, 1e-7, 0.0, 1e7, 0.5),
        optim=OptimConfig(1e-5, 0.0, 0.9, 0.0, "step", 5, 3, 4, 0.1, 0.0),
        train=TrainConfig(7, 6, 3, "fp32", True, 1, 2, 3, 4),
        run=RunConfig("runs/the run", 2**40, "none"),
    ),
)


@pytest.mark.parametrize("config", CONFIGS, ids=["defaults", "others"])
def test_what_is_written_parses_to_the_same(tmp_path: Path, config: UnitConfig) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(to_yaml(config))
    assert parse_config(["--config", str(file)]) == config


@pytest.mark.parametrize("name", ["3", "yes", "true", "a: b", "[1]", "é🎉", "a\nb", " a "])
@pytest.mark.parametrize("key", ["data.root", "run.output"])
def test_a_folder_may_have_any_name(tmp_path: Path, key: str, name: str) -> None:
    config = (
        UnitConfig(data=TwoDomainsConfig(root=name)) if key == "data.root" else UnitConfig(run=RunConfig(output=name))
    )
    file = tmp_path / "config.yaml"
    file.write_text(to_yaml(config), encoding="utf-8")
    assert parse_config(["--config", str(file)]) == config


# What may change at a resume

FREE = {"train.steps", "train.log_every", "train.sample_every", "train.checkpoint_every", "train.keep"}
FREE |= {"run.output", "run.project", "run.tracker", "validate.every", "validate.metric"}
FREE_OF = {
    TwoDomainsConfig: FREE | {"data.root", "data.a", "data.b", "data.cache_gb", "data.workers"},
    ImagesConfig: FREE | {"data.root", "data.download"},
}
FREE_OF[LabeledImagesConfig] = FREE_OF[ImagesConfig]
FREE_OF[LabeledDomainConfig] = FREE_OF[TwoDomainsConfig]


@pytest.mark.parametrize("method", METHODS)
def test_the_keys_that_are_free_at_a_resume_are_those_that_change_no_step(method: str) -> None:
    assert schema(method).free_at_resume == FREE_OF[type(find_method(method).Config().data)]


def test_only_the_keys_that_are_free_may_differ_at_a_resume() -> None:
    given = parse_config(["--optim.lr", "1e-3", "--train.steps", "7", "--data.root", "elsewhere"])
    assert differences(UnitConfig(), given) == {"optim.lr": (1e-4, 1e-3)}
    assert differences(parse_config(["--method", "vae"]), parse_config(["--method", "wae"])) == {
        "method": ("vae", "wae")
    }
    free = [f"--{key}={2 if type(KEYS[key]) in (int, float) else 'none'}" for key in FREE_OF[TwoDomainsConfig]]
    assert differences(UnitConfig(), parse_config(free)) == {}
    for key in KEYS.keys() - FREE_OF[TwoDomainsConfig]:
        section, name = key.split(".")
        other = replace(UnitConfig())
        object.__setattr__(other, section, replace(getattr(other, section)))
        object.__setattr__(getattr(other, section), name, "another")
        assert differences(UnitConfig(), other) == {key: (KEYS[key], "another")}


# What --help says


def texts(method: str) -> dict[str, str]:
    """Each key's explanation, from the string below its field, in the class itself or the one it builds on."""
    found = {}
    for name, section in vars(find_method(method).Config()).items():
        for kind in type(section).__mro__[:-1]:
            (node,) = ast.parse(inspect.getsource(kind)).body
            assert isinstance(node, ast.ClassDef)
            for field, text in zip(node.body, node.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    if not isinstance(text, ast.Expr):
                        continue  # another default for what the class that it builds on explains
                    assert isinstance(text.value, ast.Constant), field.target.id
                    found.setdefault(f"{name}.{field.target.id}", str(text.value.value))
    return found


@pytest.mark.parametrize("method", METHODS)
def test_help_explains_each_key(method: str) -> None:
    said = re.sub(r"\s", "", schema(method).parser("unit train").format_help())
    explained = texts(method)
    assert explained.keys() == flat(asdict(find_method(method).Config())).keys()
    for key, text in explained.items():
        wanted = re.escape("".join(text.split()))
        assert re.search(rf"--{re.escape(key)}\S*?{wanted}\(type:", said), key
