"""YAML without what no config needs and a hostile one would use: tags, anchors, keys given twice, endless nesting.

An anchor can expand to more than any memory holds, a tag can name a Python object, and libyaml's reader overflows the
stack on a file of nothing but brackets. So a text is looked through by this reader before any other gets it.
"""

from typing import Any

import yaml

MAX_CHARACTERS = 2**16
"""The longest text that is read; the configs that come with unit have less than a thirtieth of it."""
MAX_DEPTH = 20
"""How deep lists and mappings may lie in one another."""


class TooMuch(yaml.YAMLError):
    """A text that another reader could crash or hang on."""


class StrictLoader(yaml.SafeLoader):
    """PyYAML's safe loader, refusing what is listed above with a YAMLError."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.name = "the text"  # in messages, where PyYAML says "<unicode string>"
        self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if event.anchor is not None:
            raise TooMuch(f"anchors and aliases are not allowed {event.start_mark}")
        if event.tag is not None:
            raise yaml.YAMLError(f"tags are not allowed {event.start_mark}")
        if self.depth == MAX_DEPTH:
            raise TooMuch(f"nested more than {MAX_DEPTH} deep {event.start_mark}")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        if isinstance(node, yaml.MappingNode):
            keys: set[str] = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value in keys:
                    raise yaml.YAMLError(f"the key {key.value} is given twice {key.start_mark}")
                keys |= {key.value} if isinstance(key, yaml.ScalarNode) else set()
        return node


def load(text: str) -> Any:
    """What the text says; raises YAMLError where it is no YAML or more than is needed."""
    if len(text) > MAX_CHARACTERS:
        raise TooMuch(f"expected at most {MAX_CHARACTERS} characters, got more")
    try:
        return yaml.load(text, StrictLoader)
    except (ValueError, OverflowError) as error:  # no such day, or a number of thousands of digits
        raise yaml.YAMLError(str(error)) from error
