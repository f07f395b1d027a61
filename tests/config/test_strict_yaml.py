"""YAML without what no config needs and a hostile one would use."""

import pytest

from unit.config import strict_yaml


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a: &x 3\nb: 4", "anchors"), ("a: &x [*x]", "anchors"), ("a: !!int 3", "tags"), ("a: !x 3", "tags"),
        ("a: 1\na: 2", "a is given twice"), ("x: {a: 1, b: 2, a: 3}", "a is given twice"),
        ("[" * 21 + "]" * 21, "nested"), ("{a: " * 21 + "3" + "}" * 21, "nested"), ("x" * (2**16 + 1), "characters"),
        ("2001-13-45", "month"), ("9" * 5000, "4300"),
    ],
)  # fmt: skip
def test_yaml_that_no_config_needs_is_refused(text: str, word: str) -> None:
    with pytest.raises(strict_yaml.yaml.YAMLError, match=word):
        strict_yaml.load(text)


def test_other_yaml_is_read_as_ever() -> None:
    assert strict_yaml.load("a: [1, {b: '&x'}]\nc: {a: 1.5e-3, d: null}\n1: yes\n") == {
        "a": [1, {"b": "&x"}], "c": {"a": 0.0015, "d": None}, 1: True,
    }  # fmt: skip
    assert strict_yaml.load("[" * 20 + "]" * 20) is not None and strict_yaml.load("") is None
