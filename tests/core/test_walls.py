"""The walls between the packages, in fresh interpreters."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LIGHT = (
    *("errors", "settings.schema", "settings.toml", "settings.command_line"),
    *("storage.atomic", "storage.workspace", "system.hardware"),
    *("runtime.events", "runtime.journal", "runtime.lock", "runtime.runner", "runtime.history"),
    *("runtime.overview", "runtime.render", "runtime.preflight", "jobs.pretrain.presets"),
    *("jobs.quickstart.job", "cli.main", "cli.output", "cli.run", "cli.show", "cli.watch"),
    *(f"jobs.{kind}.check" for kind in ("tokenizer", "dataset", "pretrain", "quickstart")),
    *("tokenizer.vocabulary", "data.local.corpus", "data.manifest"),
    *("training.estimate", "training.checkpoint", "training.throughput"),
)
HEAVY = {"torch", "tiktoken", "numba", "datasets", "pyarrow", "transformers"}


def loaded_by(code: str) -> set[str]:
    """The top-level modules that are loaded after some code ran in a fresh interpreter."""
    command = f"{code}\nimport sys\nprint(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def modules_of(package: str) -> list[str]:
    """Every module of a package by name, without the one that runs when it is imported."""
    found = []
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if parts[-1] != "__main__":
            found.append(name)
    return found


def test_the_whole_core_knows_no_screen() -> None:
    imports = "\n".join(f"import {name}" for name in modules_of("talm_core"))
    loaded = loaded_by(imports)
    assert "torch" in loaded, "the proof needs the heavy modules to be imported, too"
    assert not loaded & {"textual", "talm_tui"}


def test_what_the_screen_needs_of_the_core_is_light() -> None:
    loaded = loaded_by("\n".join(f"import talm_core.{name}" for name in LIGHT))
    assert not loaded & HEAVY


def test_the_whole_screen_loads_nothing_heavy() -> None:
    names = modules_of("talm_tui")
    assert len(names) > 20
    loaded = loaded_by("\n".join(f"import {name}" for name in names))
    assert "textual" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize("words", [["list"], ["--version"], ["show", "nothing"]])
def test_quick_commands_load_nothing_heavy(words: list[str], tmp_path: Path) -> None:
    code = (
        f"import os; os.environ['TALM_HOME'] = {str(tmp_path)!r}\n"
        f"from talm_core.cli.main import main; main({words!r})"
    )
    loaded = loaded_by(code)
    assert not loaded & (HEAVY | {"textual", "cyclopts", "tomlkit", "numpy"})


def test_the_import_contracts_hold() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [str(program), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=os.environ | {"NO_COLOR": "1"},
    )
    assert done.returncode == 0, done.stdout
    assert "4 kept, 0 broken" in done.stdout
