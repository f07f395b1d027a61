"""Laws of the configuration: each key is an option, the command line beats the file, what is wrong is one line."""

import ast
import inspect
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from unit.config import ConfigError, OptimConfig, RunConfig, TrainConfig
from unit.config.data import DataConfig
from unit.config.methods import CONFIGS_OF
from unit.config.unit import LossConfig, ModelConfig, UnitConfig
from unit.options import FREE_AT_RESUME, differences, flat, parse, schema, to_yaml

ROOT = Path(__file__).resolve().parent.parent
KEYS = flat(asdict(UnitConfig()))
PUBLIC = (
    "data.root", "data.size", "model.shared_blocks", "model.regularizer", "optim.lr", "train.steps",
    "train.batch_size", "train.checkpoint_every", "run.output", "run.seed",
)  # fmt: skip
NULLABLE = {"data.root", "data.a", "data.b", "data.resize"}


def refusal(arguments: list[str]) -> str:
    """The message of the ConfigError that these arguments give; it is one line."""
    with pytest.raises(ConfigError) as caught:
        parse(arguments)
    message = str(caught.value)
    assert len(message.splitlines()) == 1, message
    return message


def refusal_of(tmp_path: Path, text: str | bytes) -> str:
    file = tmp_path / "experiment.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return refusal(["--config", str(file)])


# What is right


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_parses_by_path_and_by_name(path: Path) -> None:
    by_path = parse(["--config", str(path)])
    assert parse(["--config", path.name]) == by_path
    assert parse([f"--config={path.stem}"]) == by_path


def test_without_arguments_all_is_as_by_default() -> None:
    assert parse([]) == UnitConfig()


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
        "data.channels": 1, "data.resize": 300, "data.jitter": 0.5, "model.regularizer": "none",
        "model.upsampling": "resize", "model.encoder_norm": "instance", "model.generator_norm": "layer",
        "model.padding": "reflect", "model.init": "kaiming", "model.last_kernel": 3, "loss.gan_kind": "hinge",
        "optim.schedule": "cosine", "optim.beta1": 0.25, "optim.beta2": 0.75, "optim.step_factor": 0.25,
        "optim.ema": 0.5, "train.precision": "bf16", "run.tracker": "none", "data.size": 128,
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
        given = flat(asdict(parse([f"--{key}", str(values[key]).lower()])))
        assert given == KEYS | {key: values[key]}, key
        assert type(given[key]) is type(values[key]), key


def test_the_file_beats_the_defaults_and_the_command_line_beats_the_file(tmp_path: Path) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_text("optim:\n  lr: 1.0e-3\n  beta1: 0.25\n")
    config = parse(["--config", str(file), "--optim.lr", "2e-4"])
    assert config.optim == OptimConfig(lr=2e-4, beta1=0.25)
    assert replace(config, optim=OptimConfig()) == UnitConfig()


def test_the_command_line_beats_the_file_in_whatever_order_they_come(tmp_path: Path) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_text("optim:\n  lr: 1.0e-3\n")
    assert parse(["--optim.lr", "2e-4", "--config", str(file)]).optim.lr == 2e-4


def test_a_number_may_be_written_with_an_exponent_only(tmp_path: Path) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_text("optim:\n  lr: 1e-3\n")  # a string to YAML 1.1
    assert parse(["--config", str(file)]).optim.lr == parse(["--optim.lr", "1e-3"]).optim.lr == 1e-3


def test_null_is_what_keeps_sizes() -> None:
    assert parse(["--data.resize", "300", "--data.resize", "null"]).data.resize is None


CONFIGS = (
    UnitConfig(),
    UnitConfig(
        data=DataConfig("data/ö b: c", "a", "b", 1, 40, 32, False, 1.25, 0.5, 0.0, 0),
        model=ModelConfig(4, 1, 2, 2, "none", 4, 4, 7, "transposed", "layer", "instance", 0.0, "reflect", "kaiming"),
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
    assert parse(["--config", str(file)]) == config


@pytest.mark.parametrize("name", ["3", "yes", "true", "a: b", "[1]", "é🎉", "a\nb", " a "])
@pytest.mark.parametrize("key", ["data.root", "run.output"])
def test_a_folder_may_have_any_name(tmp_path: Path, key: str, name: str) -> None:
    config = UnitConfig(data=DataConfig(root=name)) if key == "data.root" else UnitConfig(run=RunConfig(output=name))
    file = tmp_path / "config.yaml"
    file.write_text(to_yaml(config), encoding="utf-8")
    assert parse(["--config", str(file)]) == config


def test_only_the_keys_that_are_free_may_differ_at_a_resume() -> None:
    assert set(FREE_AT_RESUME) <= {key for kind in CONFIGS_OF.values() for key in flat(asdict(kind()))}
    given = parse(["--optim.lr", "1e-3", "--train.steps", "7", "--data.root", "elsewhere"])
    assert differences(UnitConfig(), given) == {"optim.lr": (1e-4, 1e-3)}


def texts(method: str) -> dict[str, str]:
    """Each key's explanation, from the string below its field, in the class itself or the one it builds on."""
    found = {}
    for name, section in vars(CONFIGS_OF[method]()).items():
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


@pytest.mark.parametrize("method", CONFIGS_OF)
def test_help_explains_each_key(method: str) -> None:
    said = re.sub(r"\s", "", schema(method).parser().format_help())
    explained = texts(method)
    assert explained.keys() == flat(asdict(CONFIGS_OF[method]())).keys()
    for key, text in explained.items():
        wanted = re.escape("".join(text.split()))
        assert re.search(rf"--{re.escape(key)}\S*?{wanted}\(type:", said), key


# What is wrong

WRONG = {
    "optim.lr abc": ("optim.lr", "float"),
    "optim.lr true": ("optim.lr", "float"),
    "optim.lr [1]": ("optim.lr", "float"),
    "optim.lr 0": ("optim.lr", "above 0"),
    "optim.lr -1": ("optim.lr", "above 0"),
    "optim.lr .nan": ("optim.lr", "above 0"),
    "optim.lr .inf": ("optim.lr", "above 0"),
    "train.steps 1.5": ("train.steps", "int"),
    "train.steps many": ("train.steps", "int"),
    "train.steps true": ("train.steps", "int"),
    "train.steps 0": ("train.steps", "at least 1"),
    "train.keep 1": ("train.keep", "at least 2"),
    "train.batch_size 0": ("train.batch_size", "at least 1"),
    "train.accumulation 0": ("train.accumulation", "at least 1"),
    "train.precision fp8": ("train.precision", "bf16"),
    "train.checkpoint_every 0": ("train.checkpoint_every", "at least 1"),
    "run.seed one": ("run.seed", "int"),
    "run.tracker paper": ("run.tracker", "tensorboard"),
    "data.flip 1": ("data.flip", "bool"),
    "data.flip maybe": ("data.flip", "bool"),
    "data.channels 2": ("data.channels", "1, 3"),
    "data.resize half": ("data.resize", "int or null"),
    "data.resize 255": ("data.resize", "at least 256"),
    "data.size 8": ("data.size", "at least 16"),
    "data.zoom 0.5": ("data.zoom", "at least 1"),
    "data.zoom .nan": ("data.zoom", "at least 1"),
    "data.jitter 1.5": ("data.jitter", "0 to 1"),
    "data.cache_gb -1": ("data.cache_gb", "at least 0"),
    "data.cache_gb .inf": ("data.cache_gb", "at least 0"),
    "data.workers -1": ("data.workers", "at least 0"),
    "model.regularizer l2": ("model.regularizer", "'kl', 'kl_learned', 'mmd', 'adversarial', 'none'"),
    "model.shared_blocks 5": ("model.shared_blocks", "0 to 4"),
    "model.blocks 0": ("model.blocks", "1 to 100"),
    "model.blocks 101": ("model.blocks", "1 to 100"),
    "model.width 4097": ("model.width", "1 to 4096"),
    "model.downsamplings 11": ("model.downsamplings", "0 to 10"),
    "discriminator.width 4097": ("discriminator.width", "1 to 4096"),
    "discriminator.layers 11": ("discriminator.layers", "1 to 10"),
    "discriminator.scales 11": ("discriminator.scales", "1 to 10"),
    "train.steps 9223372036854775808": ("train.steps", "64 bits"),
    "run.seed -9223372036854775809": ("run.seed", "64 bits"),
    "model.last_kernel 2": ("model.last_kernel", "odd"),
    "model.slope .nan": ("model.slope", ""),
    "model.slope .inf": ("model.slope", ""),
    "discriminator.slope .nan": ("discriminator.slope", ""),
    "discriminator.kernel 9": ("discriminator.kernel", "3 to 7"),
    "discriminator.shared_layers 7": ("discriminator.shared_layers", "0 to 6"),
    "loss.gan_kind wgan": ("loss.gan_kind", "'bce', 'lsgan', 'hinge'"),
    "loss.kl -1": ("loss.kl", "at least 0"),
    "loss.kl .nan": ("loss.kl", "at least 0"),
    "loss.gan .inf": ("loss.gan", "at least 0"),
    "optim.beta1 1": ("optim.beta1", "below 1"),
    "optim.beta2 .nan": ("optim.beta2", "below 1"),
    "optim.ema 1": ("optim.ema", "below 1"),
    "optim.step_factor 2": ("optim.step_factor", "0 to 1"),
    "optim.schedule sine": ("optim.schedule", "'cosine'"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_value_is_one_line_with_the_key_and_what_is_allowed(tmp_path: Path, wrong: str) -> None:
    key, value = wrong.split(" ", 1)
    section, name = key.split(".")
    named, allowed = WRONG[wrong]
    for message in (
        refusal([f"--{key}={value}"]),
        refusal_of(tmp_path, f"{section}:\n  {name}: {value}\n"),
    ):
        assert message.startswith(named), message
        assert allowed in message, message


def test_an_integer_that_is_no_float_is_refused_by_its_key(tmp_path: Path) -> None:
    message = refusal_of(tmp_path, f"optim: {{lr: 0x{'f' * 400}}}")
    assert message.startswith("optim.lr") and "64 bits" in message


def test_all_weights_at_0_are_refused() -> None:
    message = refusal(["--loss.gan", "0", "--loss.reconstruction", "0", "--loss.cycle", "0"])
    assert "loss.gan" in message and "above 0" in message


def test_null_is_refused_by_name_where_it_is_not_a_value(tmp_path: Path) -> None:
    accepted = []
    for key in KEYS.keys() - NULLABLE:
        section, name = key.split(".")
        file = tmp_path / "experiment.yaml"
        file.write_text(f"{section}:\n  {name}: null\n")
        try:
            parse(["--config", str(file)])
            accepted.append(f"{key} accepted")
        except ConfigError as error:
            if key not in str(error):
                accepted.append(f"{key} not named: {error}")
    assert not accepted, "\n".join(accepted)


def test_true_is_not_a_number_of_channels(tmp_path: Path) -> None:
    assert "data.channels" in refusal_of(tmp_path, "data: {channels: true}")


@pytest.mark.parametrize(
    ("text", "key", "near"),
    [
        ("optim: {lrr: 1}", "optim.lrr", "optim.lr"),
        ("optimm: {lr: 1}", "optimm.lr", "optim.lr"),
        ("modle: 3", "modle", "model"),
        ("optim: {lr.x: 3}", "optim.lr.x", "optim.lr"),
        ("config: other.yaml", "config", "model"),
        ("resume: a run", "resume", "model"),
        ("1: 2", "1", "model"),
        ('optim: {"l\\nr": 3}', "optim.l", "optim.lr"),
    ],
)
def test_an_unknown_key_in_a_file_is_named_beside_the_ones_near_it(
    tmp_path: Path, text: str, key: str, near: str
) -> None:
    message = refusal_of(tmp_path, text)
    assert "experiment.yaml" in message and f"unknown key {key}" in message and near in message.split("mean")[1]


@pytest.mark.parametrize(
    ("arguments", "key"),
    [(["--optim.lrr", "1"], "optim.lrr"), (["--lr", "1"], "lr"), (["--opti.lr=1"], "opti.lr"), (["word"], "word")],
)
def test_an_unknown_option_is_named(arguments: list[str], key: str) -> None:
    assert key in refusal(arguments)


def test_options_are_not_abbreviated() -> None:
    assert "unknown key train.step;" in refusal(["--train.step", "3"])


def test_an_option_needs_its_value() -> None:
    assert "optim.lr" in refusal(["--optim.lr"])
    assert "--config" in refusal(["--config"])


@pytest.mark.parametrize("value", ["3", "abc", "[1]"])
def test_a_section_is_not_a_value_on_the_command_line(value: str) -> None:
    message = refusal(["--optim", value])
    assert "optim" in message and "Unable" not in message


@pytest.mark.parametrize("text", ["", "# nothing", "3", "- data", "data", "null"])
def test_a_file_without_sections_is_refused_by_name(tmp_path: Path, text: str) -> None:
    assert "experiment.yaml" in refusal_of(tmp_path, text)


@pytest.mark.parametrize("value", ["3", "", "[1]", "abc"])
def test_a_section_of_a_file_must_hold_keys(tmp_path: Path, value: str) -> None:
    message = refusal_of(tmp_path, f"optim: {value}\n")
    assert "experiment.yaml" in message and "optim" in message


@pytest.mark.parametrize(
    "text",
    ["a: [", "\t- :", "a: 1\n---\nb: 2\n", "? [a]\n: 3", b"\x00\x01", bytes(range(256)), "data: {}".encode("utf-16")],
)
def test_what_is_not_yaml_is_refused_by_name(tmp_path: Path, text: str | bytes) -> None:
    message = refusal_of(tmp_path, text)
    assert "experiment.yaml" in message and "YAML" in message


def test_a_missing_file_is_refused_with_the_names_that_there_are(tmp_path: Path) -> None:
    for missing in ("nosuch", str(tmp_path / "nosuch.yaml"), str(tmp_path), ""):
        message = refusal(["--config", missing])
        assert missing in message and "toymaps.yaml" in message


@pytest.mark.parametrize(
    "text",
    [
        "x: !!python/object/apply:os.mkdir ['{}']",
        "optim: {{lr: !!python/object/apply:os.mkdir ['{}']}}",
        "optim: !!python/object/new:os.mkdir ['{}']",
        "optim: {{class_path: os.mkdir, init_args: {{path: '{}'}}}}",
        "optim: {{lr: {{class_path: os.mkdir, init_args: {{path: '{}'}}}}}}",
        "class_path: os.mkdir\ninit_args: {{path: '{}'}}",
    ],
)
def test_a_file_runs_no_code(tmp_path: Path, text: str) -> None:
    mark = tmp_path / "executed"
    refusal_of(tmp_path, text.format(mark))
    assert not mark.exists()


def test_an_option_runs_no_code(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    call = f'{{"class_path": "os.mkdir", "init_args": {{"path": "{mark}"}}}}'
    for arguments in (["--optim", call], ["--optim.class_path", "os.mkdir"], ["--optim.lr", call]):
        assert "optim" in refusal(arguments)
    assert not mark.exists()
