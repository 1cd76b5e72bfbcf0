"""No module imports itself by a detour: not when it is loaded, not later from within a function,
and not for a type checker alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

Graph = Mapping[str, frozenset[str]]


def name_of(path: Path) -> str:
    """A module's dotted name, from its path below the root."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(source: str, modules: frozenset[str]) -> Iterator[str]:
    """Which of `modules` a module imports, wherever that stands in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                if full in modules:
                    yield full
                elif node.module in modules:
                    yield node.module


def graph_of(sources: Mapping[str, str]) -> Graph:
    """What each module imports, by name."""
    modules = frozenset(sources)
    return {name: frozenset(imported(text, modules)) for name, text in sources.items()}


def cycles(graph: Graph) -> list[tuple[str, ...]]:
    """The groups of modules that lead to each other, and modules that import themselves."""
    reach = {name: reachable(graph, name) for name in graph}
    groups = {
        tuple(sorted(other for other in reach[name] if name in reach[other]))
        for name in graph
        if name in reach[name]
    }
    return sorted(groups)


def reachable(graph: Graph, start: str) -> set[str]:
    """Every module that one step or more lead to."""
    found: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += graph[name]
    return found


def test_cycles_are_found_wherever_the_import_stands() -> None:
    sources = {
        "a": "import b\n",
        "b": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from c import C\n",
        "c": "def f():\n    from a import g\n",
        "d": "import a\n",
        "e": "from e import x\n",
        "p": "",
        "p.q": "from p import r\n",
        "p.r": "from p.q import y\n",
    }
    assert cycles(graph_of(sources)) == [("a", "b", "c"), ("e",), ("p.q", "p.r")]


@pytest.mark.parametrize("package", ["talm_core", "talm_tui"])
def test_a_package_has_no_import_cycle(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert len(files) > 20
    sources = {name_of(path.relative_to(ROOT)): path.read_text() for path in files}
    assert cycles(graph_of(sources)) == []
