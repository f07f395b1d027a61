"""Seeded makers of configs that are damaged, hostile, or of values that no key takes."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from mutations import Verdict, flipped, truncated

Sections = dict[str, Any]


class ConfigFile(NamedTuple):
    """A config's kind of mutation, its content, and what must become of it."""

    kind: str
    data: bytes
    verdict: Verdict


CALLS = (
    "!!python/object/apply:os.mkdir ['{mark}']",
    "!!python/object/new:os.mkdir ['{mark}']",
    "!!python/object/apply:os.system [\"mkdir '{mark}'\"]",
    "!!python/object/apply:subprocess.check_output [[mkdir, '{mark}']]",
    "!!python/object/apply:builtins.eval [\"__import__('os').mkdir('{mark}')\"]",
    "!!python/object/new:type {{args: [z, [], {{extend: !!python/name:exec }}], listitems: 'import os'}}",
    "!!python/name:os.mkdir",
    "!!python/module:os",
    "{{class_path: os.mkdir, init_args: {{path: '{mark}'}}}}",
    "{{class_path: os.mkdir, init_args: ['{mark}'], dict_kwargs: {{}}}}",
    "{{class_path: pathlib.Path, init_args: ['{mark}']}}",
    "{{_target_: os.mkdir, path: '{mark}'}}",
    "os.mkdir('{mark}')",
    "'!!python/object/apply:os.mkdir [\"{mark}\"]'",
)
"""Values that ask for code to be run."""

TAGGED = (
    "!!int ''", "!!int x", "!!float x", "!!bool maybe", "!!timestamp x", "!!binary \xe9", "!!set {1, 2}", "!own 3",
    "!!omap 3", "!!pairs [3]", "!!null x", "!!seq {}", "!!map []", "!<tag:example.org,2000:x> 3",
)  # fmt: skip
UNREADABLE = ("2001-13-45", "2001-02-30T99:99:99Z", "0b_", "0x_", "9" * 5000, "0x" + "f" * 5000, "1:" * 3000 + "1")
NESTED = ("[", "{a: ", "- ", "? ", "[{a: ", "{? [")


def config_files(
    configs: Path, defaults: Callable[[str], dict[str, Any]], mark: Path, *, seed: int
) -> Iterator[ConfigFile]:
    """Mutations of each of the real configs; `defaults(method)` are a method's keys and their defaults."""
    draw = random.Random(seed)
    files = {path: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(configs.glob("*.yaml"))}
    for path, sections in files.items():
        method = method_of(sections)
        other = draw.choice([other for other in files.values() if method_of(other) != method])
        yield from wrong_sections(sections, other, defaults(method), draw)
        yield from hostile_text(path.read_bytes(), sections, mark, draw)
    yield from bombs()
    yield from nested_deep()
    yield from no_configs()


def method_of(sections: Sections) -> str:
    return str(sections.get("method", "unit"))


def text_of(sections: object) -> bytes:
    return yaml.safe_dump(sections, sort_keys=False).encode()


def changed(sections: Sections, key: str, value: object) -> Sections:
    section, inner = key.split(".")
    return sections | {section: sections.get(section, {}) | {inner: value}}


def wrong_values(default: object) -> list[object]:
    """Values that a key with this default never takes."""
    nan, infinity = float("nan"), float("inf")
    anywhere: list[object] = [{"x": 1}, [[1]], {"class_path": "os.mkdir"}]
    match default:
        case bool():
            return [*anywhere, "maybe", 2, None, 0.5]
        case int() | float():
            return [*anywhere, "abc", "", [1], None, True, nan, infinity, -infinity, "1 2", "-", b"\xff"]
        case tuple():
            return [*anywhere, "abc", None, 3, [], [[]], ["x", None], [nan], True]
        case str():
            return [*anywhere, [1], [], ["a", "b"]]
        case _:
            return anywhere


def wrong_sections(
    sections: Sections, other: Sections, defaults: dict[str, Any], draw: random.Random
) -> Iterator[ConfigFile]:
    """YAML that is sound, of keys and values that are not; `other` is a config of another method."""
    method = method_of(sections)
    for key in draw.sample(sorted(defaults), 6):
        value = draw.choice(wrong_values(defaults[key]))
        yield ConfigFile(f"wrong value of {key}", text_of(changed(sections, key, value)), "bad")
    section = draw.choice([name for name in sections if name != "method"])
    key = f"{section}.{draw.choice(['lrr', 'class_path', '', ' '])}"
    yield ConfigFile("unknown key", text_of(changed(sections, key, 3)), "bad")
    unknown = draw.choice(["modle", "init_args", "config"])
    yield ConfigFile("unknown section", text_of(sections | {unknown: {"x": 3}}), "bad")
    nothing = draw.choice([3, [], "x", None])
    yield ConfigFile("section without keys", text_of(sections | {section: nothing}), "bad")
    gan = draw.choice(["gan", 3, None, [method], {}])
    yield ConfigFile("unknown method", text_of(sections | {"method": gan}), "bad")
    model = other.get("model", {}) | {"nets": 3}
    yield ConfigFile("sections of two methods", text_of(sections | {"method": method, "model": model}), "bad")
    mixed = {"method": method_of(other)} | {name: keys for name, keys in sections.items() if name != "method"}
    yield ConfigFile("another's method", text_of(mixed), "either")


def hostile_text(whole: bytes, sections: Sections, mark: Path, draw: random.Random) -> Iterator[ConfigFile]:
    """A config's text with something in it that YAML may hold and no config does, and damaged text."""
    call = draw.choice(CALLS).format(mark=mark).encode()
    for kind, line in (("call as section", b"evil: " + call), ("call as key", b"? " + call + b"\n: 3")):
        yield ConfigFile(kind, whole + b"\n" + line + b"\n", "bad")
    again = draw.choice(list(sections)).encode()
    yield ConfigFile("a section twice", whole + b"\n" + again + b": {}\n", "bad")
    once, twice = b"  beta1: 0.5", b"  beta1: 0.5\n  beta1: 0.25"
    doubled = text_of(changed(sections, "optim.beta1", 0.5)).replace(once, twice)
    yield ConfigFile("a key twice", doubled, "bad")
    for kind, value in (
        ("call as value", call),
        ("tag", draw.choice(TAGGED).encode()),
        ("unreadable value", draw.choice(UNREADABLE).encode()),
    ):
        yield ConfigFile(kind, text_of(changed(sections, "optim.lr", "VALUE")).replace(b"VALUE", value), "bad")
    yield ConfigFile("anchor", whole + b"\nevil: &x [*x]\n", "bad")
    depth = draw.choice((100, 5000))
    yield ConfigFile("deep nesting", whole + b"\nevil: " + draw.choice(NESTED).encode() * depth, "bad")
    yield ConfigFile("two documents", whole + b"\n---\n" + whole, "bad")
    yield ConfigFile("in UTF-16", whole.decode().encode("utf-16"), "bad")
    yield ConfigFile("not UTF-8", whole + b"\n# caf\xe9\n", "bad")
    yield ConfigFile("control character", whole + draw.choice((b"\0", b"\x07", b"\x1b[31m", b"\x7f")), "bad")
    yield ConfigFile("random bytes", draw.randbytes(draw.choice((1, 30, 3000))), "bad")
    for _ in range(3):
        yield ConfigFile("truncated", truncated(whole, draw), "either")
        yield ConfigFile("flipped bits", flipped(whole, draw), "either")
    lines = whole.splitlines(keepends=True)
    draw.shuffle(lines)
    yield ConfigFile("shuffled lines", b"".join(lines), "either")
    yield ConfigFile("with a byte order mark", b"\xef\xbb\xbf" + whole, "either")


def laughs(levels: int, each: int = 9) -> str:
    """Anchors that name one another: each level expands to `each` of the one below."""
    lines = ["l0: &l0 [lol, lol, lol]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * each)}]" for n in range(1, levels)]
    return "\n".join(lines)


def merges(levels: int, each: int = 9) -> str:
    """The same with merge keys, which a reader has to expand."""
    lines = ["m0: &m0 {k: 1}"]
    lines += [f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * each)}]}}" for n in range(1, levels)]
    return "\n".join(lines)


def bombs() -> Iterator[ConfigFile]:
    """Small texts that expand to more than any memory holds, and long ones."""
    for levels in (2, 5, 10, 30):
        for bomb in (laughs(levels), merges(levels)):
            last = f"*{bomb[:1]}{levels - 1}"
            below = "\n".join(f"  {line}" for line in bomb.splitlines())
            yield ConfigFile("anchors", bomb.encode(), "bad")
            yield ConfigFile("anchors in a section", f"optim:\n{below}\n  lr: {last}\n".encode(), "bad")
            yield ConfigFile("anchors for a section", f"{bomb}\noptim: {last}\n".encode(), "bad")
    tower = "3"
    for level in range(9):
        tower = f"[&l{level} {tower}" + f", *l{level}" * 9 + "]"
    for key in ("optim: {{lr: '{}'}}", "model: {{blocks: '{}'}}", "data: {{flip: '{}'}}", "data: {{resize: '{}'}}",
                "method: vae\nmodel: {{hidden: '{}'}}", "method: '{}'", "model: '{}'"):  # fmt: skip
        yield ConfigFile("anchors in a string", key.format(tower).encode(), "bad")
    for key in ("data: {{root: '{}'}}", "run: {{output: '{}'}}"):
        yield ConfigFile("anchors in a name", key.format(tower).encode(), "either")
        yield ConfigFile("deep nesting in a name", key.format("[" * 30_000).encode(), "either")
    yield ConfigFile("ten megabytes", b"optim: {lr: 1}\n" + b"# more\n" * 1_500_000, "bad")
    yield ConfigFile("ten megabytes of keys", b"".join(b"k%d: 3\n" % n for n in range(10**6)), "bad")


def nested_deep() -> Iterator[ConfigFile]:
    for nested in NESTED:
        for depth in (50, 1000, 30_000):
            closed = nested * depth + "3" + "".join({"[": "]", "{": "}"}.get(c, "") for c in reversed(nested)) * depth
            for data in (nested * depth, f"optim: {closed}", f"optim: {{lr: {closed}}}"):
                yield ConfigFile("deep nesting", data.encode(), "bad")
            if nested in "[":
                yield ConfigFile("deep nesting in a string", f"optim: {{lr: '{closed}'}}".encode(), "bad")


def no_configs() -> Iterator[ConfigFile]:
    """Texts without sections, and sections of odd keys and numbers."""
    texts = (b"", b"\n", b"# nothing\n", b"3", b"null", b"text", b"- a\n- b\n", b"{}\n---\n{}", b"%YAML 9.9\n---\n{}")
    for data in texts:
        yield ConfigFile("no sections", data, "bad")
    for key in (r"\e[31mred", r"\0", r"new\nline", r"\uD800", r"\u202E", r"\u2028", "日本語", "x" * 50_000):
        yield ConfigFile("odd key", f'"{key}": 3\n'.encode(), "bad")
        yield ConfigFile("odd key", f'optim: {{"{key}": 3}}\n'.encode(), "bad")
        yield ConfigFile("odd value", f'optim: {{lr: "{key}"}}\n'.encode(), "bad")
        yield ConfigFile("odd method", f'method: "{key}"\n'.encode(), "bad")
    for key in ("1", "1.5", "true", "null", "2001-01-01", "? [a]", "<<", "=", "!!binary aGk="):
        yield ConfigFile("key of another type", f"{key}: 3\n".encode(), "bad")
        yield ConfigFile("key of another type", f"optim:\n  {key}: 3\n".encode(), "bad")
    for number in ("1e400", "-1e400", "1e309", "9" * 400, "-" + "9" * 400, ".NaN", ".inf", "-.INF", "nan", "-1e-400x"):
        for key in ("optim.lr", "train.steps", "data.zoom", "model.width", "loss.kl", "model.slope"):
            section, inner = key.split(".")
            yield ConfigFile("number beyond bounds", f"{section}: {{{inner}: {number}}}\n".encode(), "either")
