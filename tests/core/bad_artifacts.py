"""An artifact of each kind of fault, as they come in directories copied from anywhere."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from talm_core.runtime.event_json import to_json
from talm_core.runtime.events import Finished, Started
from talm_core.settings.toml import dumps
from talm_core.storage.workspace import Workspace
from tests.core.tiny_runs import tiny_config

FILES = ("events.jsonl", "config.toml", "lock", "log.txt", "commands")
"""What may lie in a run's directory, each of which may be something else."""


def write_run(workspace: Workspace, name: str, summary: Mapping[str, Any] | None = None) -> Path:
    """A run that is finished; returns its directory."""
    directory = workspace.directory("pretrain", name)
    directory.mkdir(parents=True)
    (directory / "config.toml").write_text(dumps(tiny_config(model_name=name)))
    events = (
        Started(job="pretrain", name=name),
        Finished(seconds=1.0, summary=dict(summary or {"step": 12, "parameters": 1_000})),
    )
    (directory / "events.jsonl").write_text("".join(to_json(e, time=1.0) + "\n" for e in events))
    return directory


def pipe(place: Path) -> None:
    os.mkfifo(place)


def link(place: Path) -> None:
    place.symlink_to("/etc/hostname")


def endless(place: Path) -> None:
    place.symlink_to("/dev/zero")


def folder(place: Path) -> None:
    place.mkdir()


def unix_socket(place: Path) -> None:
    # Its whole path must be short.
    before = Path.cwd()
    os.chdir(place.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(place.name)
    finally:
        os.chdir(before)


def _text(name: str, text: str | bytes) -> Callable[[Path], None]:
    def write(directory: Path) -> None:
        data = text.encode() if isinstance(text, str) else text
        (directory / name).write_bytes(data)

    return write


def _said(summary: Mapping[str, Any]) -> Callable[[Path], None]:
    event = {"event": "Finished", "time": 1.0, "seconds": 1.0, "summary": summary}
    return _text("events.jsonl", json.dumps(event) + "\n")


def _sparse(name: str, size: int) -> Callable[[Path], None]:
    def write(directory: Path) -> None:
        with (directory / name).open("wb") as file:
            file.truncate(size)

    return write


def _one_line(directory: Path) -> None:
    with (directory / "events.jsonl").open("wb") as file:
        for _ in range(80):
            file.write(b"x" * (1 << 20))


def _in_place(name: str, make: Callable[[Path], None]) -> Callable[[Path], None]:
    def put(directory: Path) -> None:
        (directory / name).unlink(missing_ok=True)
        make(directory / name)

    return put


def _second_name(directory: Path) -> None:
    os.link(directory / "config.toml", directory / "another-name")


_DIGITS = "9" * 5_000

FAULTS: dict[str, Callable[[Path], None]] = {
    **{
        f"{name.partition('.')[0]}-{make.__name__}": _in_place(name, make)
        for name in FILES
        for make in (pipe, link, endless, unix_socket, folder)
        if (name, make) != ("commands", folder)
    },
    "config-hard-link": _second_name,
    "config-sparse": _sparse("config.toml", 10 << 30),
    "config-of-many-values": _text(
        "config.toml", 'job = "pretrain"\nx = [' + "1,\n[{}],\n" * 200_000 + "]"
    ),
    "config-deep": _text("config.toml", 'job = "pretrain"\nx = ' + "[" * 100_000),
    "config-digits": _text("config.toml", f'job = "pretrain"\nversion = 1\nn_layer = {_DIGITS}\n'),
    "config-no-text": _text("config.toml", bytes(range(256))),
    "config-empty": _text("config.toml", ""),
    "config-of-no-job": _text("config.toml", 'job = "nonsense"\nversion = 1\n'),
    "journal-sparse": _sparse("events.jsonl", 10 << 30),
    "journal-of-one-line": _one_line,
    "summary-of-text": _said({"parameters": "many", "tokens": [1]}),
    "summary-of-digits": _text(
        "events.jsonl",
        f'{{"event": "Finished", "seconds": 1.0, "summary": {{"tokens": {_DIGITS}}}}}\n',
    ),
    "summary-of-lists": _said({"parameters": [[]], "tokens": {}, "step": None}),
}
"""What is done to a run's directory so that it is one. Names are those of the runs."""

NAMED = frozenset(FAULTS) - {"config-empty", "config-of-no-job", "summary-of-digits"}
"""Those that lists call damaged, and say why; of the others everything that matters can be read."""


def write_bad(workspace: Workspace) -> None:
    """A run of each kind of fault."""
    for name, damage in FAULTS.items():
        damage(write_run(workspace, name))
    # And what is no artifact at all.
    folder = workspace.folder("pretrain")
    (folder / "loop").symlink_to("loop")
    (folder / "nowhere").symlink_to("is-not-there")
    (folder / "a-file").touch()
    pipe(folder / "a-pipe")
