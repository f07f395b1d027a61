"""What is wrong with a config is one line that names the key and says what is allowed; and no config runs code."""

from dataclasses import asdict
from pathlib import Path

import pytest

from unit.cli.arguments import parse_config
from unit.config import ConfigError, load
from unit.config.schema import RENAMED, flat
from unit.methods.unit import UnitConfig

KEYS = flat(asdict(UnitConfig()))
NULLABLE = {"data.root", "data.a", "data.b", "data.channels_b", "data.resize", "discriminator.init"}
NULLABLE |= {"model.generator_blocks", "model.down_padding"}
NULLABLE |= {"discriminator.padding", "discriminator.first_kernel", "discriminator.pool"}
NULLABLE |= {"loss.cycle_b", "validate.metric", "validate.images"}


def refusal(arguments: list[str]) -> str:
    """The message of the ConfigError that these arguments give; it is one line."""
    with pytest.raises(ConfigError) as caught:
        parse_config(arguments)
    message = str(caught.value)
    assert len(message.splitlines()) == 1, message
    return message


def refusal_of(tmp_path: Path, text: str | bytes) -> str:
    file = tmp_path / "experiment.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return refusal(["--config", str(file)])


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
    "data.channels_b 2": ("data.channels_b", "1, 3"),
    "data.a []": ("data.a", "a folder, a .txt file, or a list of these"),
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


@pytest.mark.parametrize("value", ["[3]", "{x: y}", "3"])
def test_what_is_no_folder_is_refused_in_our_words(tmp_path: Path, value: str) -> None:
    said = refusal_of(tmp_path, f"data: {{a: {value}}}")
    assert said.startswith("data.a: expected ") and "NoneType" not in said and "Union" not in said


def test_an_integer_that_is_no_float_is_refused_by_its_key(tmp_path: Path) -> None:
    message = refusal_of(tmp_path, f"optim: {{lr: 0x{'f' * 400}}}")
    assert message.startswith("optim.lr") and "64 bits" in message


def test_all_weights_at_0_are_refused() -> None:
    message = refusal(["--loss.gan", "0", "--loss.reconstruction", "0", "--loss.cycle", "0"])
    assert "loss.gan" in message and "above 0" in message


def test_round_trips_of_two_weights_are_both_made() -> None:
    assert refusal(["--loss.cycle_b", "0"]).startswith("loss.cycle_b: expected a number above 0, got 0")
    assert refusal(["--loss.cycle_b", ".nan"]).startswith("loss.cycle_b: expected a number above 0, got nan")
    message = refusal(["--loss.cycle", "0", "--loss.cycle_b", "10"])
    assert message == "loss.cycle: expected a number above 0 beside loss.cycle_b, got 0"


def test_null_is_refused_by_name_where_it_is_not_a_value(tmp_path: Path) -> None:
    accepted = []
    for key in KEYS.keys() - NULLABLE:
        section, name = key.split(".")
        file = tmp_path / "experiment.yaml"
        file.write_text(f"{section}:\n  {name}: null\n")
        try:
            parse_config(["--config", str(file)])
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


@pytest.mark.parametrize("old", RENAMED)
def test_a_keys_old_name_is_answered_with_the_new_one(tmp_path: Path, old: str) -> None:
    """On the command line, in a file, and from Python."""
    method = "aae_cluster" if "noise" in old else "aae_semi"
    section, name = old.split(".")
    messages = [refusal(["--method", method, f"--{old}", "1"])]
    messages.append(refusal_of(tmp_path, f"method: {method}\n{section}:\n  {name}: 1\n"))
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "experiment.yaml", {old: 2})
    messages.append(str(caught.value))
    assert all(message.endswith(f"{old} is now called {RENAMED[old]}") for message in messages), messages


def test_the_old_name_of_a_key_that_the_method_does_not_have_says_so_too() -> None:
    said = refusal(["--model.judge", "1"])
    assert said == "model.judge is now called model.discriminator, which method unit does not have"


def test_an_unknown_method_is_refused_with_the_names_that_there_are(tmp_path: Path) -> None:
    for message in (refusal(["--method", "gan"]), refusal_of(tmp_path, "method: gan\n")):
        assert message.startswith("method: expected one of unit, cyclegan, ") and message.endswith("got gan")


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
        assert missing in message and "toymaps" in message


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
