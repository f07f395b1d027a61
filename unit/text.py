"""Text for people: whatever a file, its name or a library says, as one printable line."""

LONGEST = 5000
"""Characters of a line, beyond which it is cut short: more than any path has."""


def one_line(text: object) -> str:
    """The text with white space as single spaces, and with what no terminal should get (control characters, marks that
    change the direction of writing, bytes that are not UTF-8) escaped as in Python's strings."""
    line = " ".join(str(text)[: 2 * LONGEST].split())
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"
