"""YAML as plain values: no tags that make objects, no interpolation, limits on everything.

What a scalar means is YAML 1.1's (``yes`` is true, ``017`` is 15) but for two things in which it
surprises: ``1e-3`` is a number, and a date is text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

from meta_rl.reading.json_values import MAX_DEPTH
from meta_rl.reading.numbers import MAX_INTEGER
from meta_rl.reading.sentences import SentenceError

MAX_NODES = 10_000
"""Most values and keys in a document, each alias counted as all that it stands for."""
_MAX_NUMBER_LENGTH = 100

_FLOAT = re.compile(
    r"""[-+]?[0-9]+(?:_[0-9]+)*\.[0-9_]*(?:[eE][-+]?[0-9]+)?$
    |[-+]?[0-9]+(?:_[0-9]+)*[eE][-+]?[0-9]+$""",
    re.VERBOSE,
)
_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = tuple(f"{_TAG}{name}" for name in ("null", "bool", "int", "float", "str"))
_TAGS = (*_PLAIN_TAGS, f"{_TAG}seq", f"{_TAG}map", None)


class YamlError(SentenceError):
    """Text that is not valid YAML.

    Attributes:
        line: where, counted from 1; None where that is not known.
    """

    def __init__(self, reason: str, line: int | None) -> None:
        """Keeps the line."""
        super().__init__(reason)
        self.line = line


@dataclass(frozen=True)
class YamlDocument:
    """A document.

    Attributes:
        value: of mappings, lists, text, numbers, booleans and None.
        lines: the line, counted from 1, of everything below the top, by the keys that lead there.
    """

    value: Any
    lines: dict[tuple[str, ...], int]


def parse_yaml(text: str) -> YamlDocument:
    """Reads the only document of a text, which may be empty.

    Raises:
        YamlError: it is not valid YAML, holds a tag of another language, a key twice or an integer
            of more than 64 bits, or is larger or deeper than any settings are.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return YamlDocument(None, {})
        _check_size(node)
        lines = dict(_locations(node, ()))
        return YamlDocument(loader.construct_document(node), lines)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise YamlError(reason, mark.line + 1 if mark else None) from None


def to_yaml(value: Any) -> str:
    """Writes plain values so that ``parse_yaml`` reads the same back."""
    return yaml.dump(
        value, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False
    )


class _Loader(yaml.SafeLoader):
    """Counts while it reads, so that what is too large is not built first."""

    yaml_constructors: ClassVar = {
        tag: constructor
        for tag, constructor in yaml.SafeLoader.yaml_constructors.items()
        if tag in _TAGS
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._num_nodes = self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._num_nodes += 1
        self._depth += 1
        if self._depth > MAX_DEPTH or self._num_nodes > MAX_NODES:
            raise ComposerError(None, None, _too_much(self._depth), self.peek_event().start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in seen:
                raise ComposerError(None, None, f"found duplicate key {key.value}", key.start_mark)
            seen.add((key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key))
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if node.tag not in _PLAIN_TAGS or node.tag == f"{_TAG}str":
            return super().construct_object(node, deep)
        is_number = node.tag in (f"{_TAG}int", f"{_TAG}float")
        reason = f"found a number of more than {_MAX_NUMBER_LENGTH} characters"
        # Before it is converted, which takes long for many digits.
        if not is_number or len(node.value) <= _MAX_NUMBER_LENGTH:
            try:
                value = super().construct_object(node, deep)
                if not isinstance(value, int) or abs(value) <= MAX_INTEGER:
                    return value
                reason = "found an integer of more than 64 bits"
            except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError):
                reason = f"found a value that is no {node.tag.removeprefix(_TAG)}"
        raise ConstructorError(None, None, reason, node.start_mark)


class _Dumper(yaml.SafeDumper):
    """Quotes text that the loader would take for something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        # With escapes, because readers take some of these for line breaks.
        style = '"' if not data.isprintable() else None
        return self.represent_scalar(f"{_TAG}str", data, style)


_Dumper.add_representer(str, _Dumper.represent_str)

for _part in (_Loader, _Dumper):
    _part.yaml_implicit_resolvers = {
        first: [(tag, regexp) for tag, regexp in resolvers if tag != f"{_TAG}timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    _part.add_implicit_resolver(f"{_TAG}float", _FLOAT, list("-+0123456789."))


def _check_size(root: yaml.Node) -> None:
    """Refuses documents whose aliases stand for too much, or for what they are part of."""
    measured: dict[int, tuple[int, int] | None] = {}  # by node; None while it is being measured

    def measure(node: yaml.Node) -> tuple[int, int]:
        """Number of values, and of levels."""
        if id(node) not in measured:
            measured[id(node)] = None
            parts = [measure(child) for child in _children(node)]
            levels = 1 + max((levels for _, levels in parts), default=0)
            measured[id(node)] = 1 + sum(number for number, _ in parts), levels
        known = measured[id(node)]
        if known is None:
            raise ComposerError(None, None, "found an alias within itself", node.start_mark)
        return known

    number, levels = measure(root)
    if number > MAX_NODES or levels > MAX_DEPTH:
        raise ComposerError(None, None, _too_much(levels), root.start_mark)


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    for child in node.value if isinstance(node, yaml.CollectionNode) else ():
        yield from child if isinstance(child, tuple) else (child,)


def _locations(node: yaml.Node, prefix: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    if isinstance(node, yaml.MappingNode):
        # A key that is a list or a mapping is refused later.
        children = [
            (key.value if isinstance(key, yaml.ScalarNode) else "?", key, child)
            for key, child in node.value
        ]
    elif isinstance(node, yaml.SequenceNode):
        children = [(str(index), child, child) for index, child in enumerate(node.value)]
    else:
        return
    for key, marked, child in children:
        location = (*prefix, key)
        yield location, marked.start_mark.line + 1
        yield from _locations(child, location)


def _too_much(depth: int) -> str:
    if depth > MAX_DEPTH:
        return f"found more than {MAX_DEPTH} levels"
    return f"found more than {MAX_NODES:,} values, aliases counted as what they stand for"
