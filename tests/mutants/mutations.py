"""Mutants of whole modules, by the operators of mutmut.

mutmut itself mutates only what its way of running can reach: plain functions. Constants, tables,
properties and the methods of data classes are what our core is made of, so its walk is widened
here; as in mutmut, annotations, decorators and calls of ``len`` and ``isinstance`` are left alone.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.file_mutation import (
    NEVER_MUTATE_FUNCTION_CALLS,
    MutationVisitor,
    deep_replace,
)
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import IgnoredCode


@dataclass(frozen=True, slots=True)
class Mutant:
    """The *source* of *module* with one change, which *diff* shows."""

    module: str
    line: int
    diff: str
    source: str


class _Everywhere(MutationVisitor):
    """Finds mutations at module level, in properties and in decorated classes too."""

    def __init__(self) -> None:
        nothing = IgnoredCode(set(), set(), set())
        super().__init__(mutation_operators, nothing)
        self.lines: list[int] = []

    def _create_mutations(self, node: cst.CSTNode) -> None:
        known = len(self.mutations)
        super()._create_mutations(node)
        if len(self.mutations) > known:
            line = self.get_metadata(PositionProvider, node).start.line
            self.lines += [line] * (len(self.mutations) - known)

    def _skip_node_and_children(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.Call) and isinstance(node.func, cst.Name):
            return node.func.value in NEVER_MUTATE_FUNCTION_CALLS
        return isinstance(node, cst.Annotation | cst.Decorator | cst.Import | cst.ImportFrom)


def mutants_of(module: str, path: Path) -> list[Mutant]:
    """Return every mutant that Python can compile, in the order of the source, each once."""
    original = path.read_text(encoding="utf-8")
    visitor = _Everywhere()
    tree = MetadataWrapper(cst.parse_module(original)).visit(visitor)
    homes = _homes(tree)
    found: dict[str, Mutant] = {}
    for line, mutation in zip(visitor.lines, visitor.mutations, strict=True):
        home = homes[id(mutation.original_node)]
        changed = deep_replace(home, mutation.original_node, mutation.mutated_node)
        source = _in_place_of(tree, home, changed).code
        if source != original and source not in found and _compiles(source):
            found[source] = Mutant(module, line, _diff(original, source), source)
    return sorted(found.values(), key=lambda mutant: mutant.line)


def _homes(tree: cst.Module) -> dict[int, cst.CSTNode]:
    """Return the statement of the module, or of one of its classes, that each node is in.

    A change is made in that statement alone: to look through the whole tree for each takes long.
    """
    found: dict[int, cst.CSTNode] = {}
    for statement in tree.body:
        found |= dict.fromkeys(_within(statement), statement)
        if isinstance(statement, cst.ClassDef):
            for member in statement.body.body:
                found |= dict.fromkeys(_within(member), member)
    return found


def _within(node: cst.CSTNode) -> list[int]:
    nodes = [node]
    for one in nodes:
        nodes += one.children
    return [id(one) for one in nodes]


def _in_place_of(tree: cst.Module, home: cst.CSTNode, changed: Any) -> cst.Module:
    body: list[Any] = list(tree.body)
    for index, statement in enumerate(body):
        if statement is home:
            body[index] = changed
        elif isinstance(statement, cst.ClassDef) and any(m is home for m in statement.body.body):
            members: list[Any] = [changed if m is home else m for m in statement.body.body]
            inside = statement.body.with_changes(body=members)
            body[index] = statement.with_changes(body=inside)
    return tree.with_changes(body=body)


def _compiles(source: str) -> bool:
    try:
        compile(source, "mutant", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


def _diff(original: str, source: str) -> str:
    lines = difflib.unified_diff(original.splitlines(), source.splitlines(), n=0, lineterm="")
    return "\n".join(line for line in lines if not line.startswith(("---", "+++", "@@")))
