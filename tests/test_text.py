"""Text for people is one printable line."""

import pytest

from unit.text import LONGEST, one_line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("two\n  lines\t", "two lines"), ("\x1b[31m\a\0", r"\x1b[31m\x07\x00"), ("日本語 ß", "日本語 ß"),
        ("\udcff", r"\udcff"), ("\u202e", r"\u202e"), ("x" * (LONGEST + 1), "x" * LONGEST + "…"), (3, "3"),
    ],
)  # fmt: skip
def test_one_line(text: object, expected: str) -> None:
    assert one_line(text) == expected
