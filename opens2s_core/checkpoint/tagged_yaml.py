"""YAML as plain data: tags construct nothing, and ``!ref`` is resolved."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from opens2s_core.checkpoint.errors import CheckpointError

MAX_VALUES = 20_000
"""Limit of values after aliases and references are expanded; a decoder's configuration has about a hundred."""

_REF = re.compile(r"<([^<>\[\]]+)((?:\[[^<>\[\]]+\])*)>")


class _Loader(yaml.SafeLoader):
    """Composes nodes only; reads numbers such as ``1e-06`` as YAML 1.2 does."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+"), list("-+0123456789.")
)


def read_yaml(path: str | Path, sections: Collection[str]) -> dict[str, Any]:
    """Those of the top-level ``sections`` that the file has, as mappings, lists, strings, numbers, booleans and None.

    The rest of the file is parsed and ignored. A value's tag (``!new:``, ``!apply:``, ``!!python/object``, …) is
    ignored; ``!ref <name>`` and ``!ref <a[b]>`` are replaced by the value of that name. Raises
    :class:`CheckpointError` for invalid YAML, other references, and values that contain themselves.
    """
    try:
        loader = _Loader(Path(path).read_text(encoding="utf-8"))
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise CheckpointError(f"{path}: expected a mapping of settings")
        reader = _Reader(loader, root, str(path))
        return {key: reader.convert(node) for key, node in reader.items(root) if key in sections}
    except (OSError, ValueError, KeyError, yaml.YAMLError, RecursionError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path}: expected a YAML file: {error}") from error


class _Reader:
    def __init__(self, loader: _Loader, root: yaml.MappingNode, where: str) -> None:
        self.loader, self.root, self.where = loader, root, where
        self.unfinished: set[int] = set()  # ids of the nodes around the one that is being converted
        self.values = 0

    def convert(self, node: yaml.Node) -> Any:
        self.values += 1
        if self.values > MAX_VALUES:
            raise CheckpointError(f"{self.where}: expected at most {MAX_VALUES} values")
        if id(node) in self.unfinished:
            raise CheckpointError(f"{self.where}: a value holds itself{_line(node)}")
        self.unfinished.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return {key: self.convert(value) for key, value in self.items(node)}
            if isinstance(node, yaml.SequenceNode):
                return [self.convert(item) for item in node.value]
            assert isinstance(node, yaml.ScalarNode)
            return self.convert(self.referenced(node)) if node.tag == "!ref" else self.scalar(node)
        finally:
            self.unfinished.remove(id(node))

    def scalar(self, node: yaml.ScalarNode) -> Any:
        match node.tag.removeprefix("tag:yaml.org,2002:"):
            case "null":
                return None
            case "bool":
                return self.loader.construct_yaml_bool(node)
            case "int":
                return self.loader.construct_yaml_int(node)
            case "float":
                return self.loader.construct_yaml_float(node)
        return node.value

    def items(self, node: yaml.MappingNode) -> list[tuple[Any, yaml.Node]]:
        keys = [key.value for key, _ in node.value]
        if any(not isinstance(key, yaml.ScalarNode) for key, _ in node.value) or len(set(keys)) < len(keys):
            raise CheckpointError(f"{self.where}: expected each key to be a name that comes once, got {keys}")
        return [(key.value, value) for key, value in node.value]

    def referenced(self, node: yaml.ScalarNode) -> yaml.Node:
        match = _REF.fullmatch(node.value.strip())
        if not match:
            raise CheckpointError(f"{self.where}: !ref {node.value}: expected <name> or <name[name]> alone")
        target: yaml.Node = self.root
        for name in [match[1], *re.findall(r"\[([^\]]+)\]", match[2])]:
            found = dict(self.items(target)).get(name) if isinstance(target, yaml.MappingNode) else None
            if found is None:
                raise CheckpointError(f"{self.where}: !ref {node.value}: nothing of that name")
            target = found
        return target


def _line(node: yaml.Node) -> str:
    return f" in line {node.start_mark.line + 1}"
