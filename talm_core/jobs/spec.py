"""What everybody else needs to know of a kind of job.

A kind of job is a folder `talm_core/jobs/<kind>` with a `JobSpec` in `spec.py`, its settings in
`config.py` and its work in `job.py`. The command line, the workspace, lists, the journal's readers
and the forms ask the spec; none of them knows a kind by name. Code is named by `module:name` and
imported when it is used, so that a list of models does not wait for torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any


def load(reference: str) -> Any:
    """What `module:name` names; imports the module."""
    module, name = reference.split(":")
    return getattr(import_module(module), name)


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """A command of `talm` that takes a job's settings as flags.

    `entry` is its function, called with the `Call`; without one the job is run, here or detached.
    `flags` are those it has besides the settings, by their names in `talm_core.cli.options`.
    """

    name: str
    help: str
    entry: str = ""
    flags: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ArtifactSpec:
    """What a job leaves in the workspace: `<root>/<folder>/<name>`.

    A directory there is an artifact if it has a journal, a `config.toml` or, when it was copied by
    hand, `main_file`. `name_key` is the setting that names it; a name has `parts` of them, joined
    by a slash. `title` heads it in lists. One that is not `renamable` keeps the name of what it was
    made of. `reserved` are names that ship with talm. `kept_open`: a job that uses one reads it
    until the job ends.
    """

    folder: str
    noun: str
    title: str
    main_file: str = "config.toml"
    name_key: str = "name"
    parts: int = 1
    renamable: bool = False
    reserved: tuple[str, ...] = ()
    kept_open: bool = False

    @property
    def said_as(self) -> tuple[str, ...]:
        """What may stand before a name, such as `models/nano` or `model/nano`."""
        return (self.folder, self.noun)


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A kind of job.

    `kind` stands in `config.toml` and the journal. `commands[0]` does the job; others take the
    same settings. `entry` names `run`, `config` the settings.

    How it is talked to: `hears` are the commands it takes itself besides pause and stop, as types
    of `talm_core.runtime.events`. `resumable`: what it made before is gone on with when that is
    asked for. `delegates`: it runs other jobs, which hear the commands sent to it; its name stands
    for all of them. `distributed`: several processes can do it together.

    Hooks, each `module:name` or nothing:

    - `check(config, workspace)` yields the `Problem`s that can be known before it starts;
    - `check_resumed(config, workspace)` gives those with which one that was begun cannot be gone on
      with;
    - `settle(config, workspace)` gives settings changed so that they mean the same from anywhere;
    - `given(values, preset, resume, workspace)` gives the values to build the config from and
      whether a job that was begun is gone on with;
    - `figures(overview)` yields the few numbers that tell its artifacts apart in a list;
    - `page(overview)` yields lines for `talm show`, instead of the table of its summary;
    - `facts(overview)` gives what `talm show --json` adds, by key; `fact_keys` are those keys, None
      for other kinds;
    - `shipped(name)` gives the lines and the facts of what ships with talm under a reserved name;
    - `documents(artifact, count, seed)` yields documents drawn at random, as facts and as lines;
    - `saved(directory)` gives the config that was last saved with the work, as TOML, or None;
    - `afterwards(config, workspace)` gives the words of the command that makes use of the result.

    `goes_on` are the words before a name that go on with a job that was stopped, empty where the
    same command again does it; `begins_anew` where nothing is kept. `unit` is what its
    progress counts.
    """

    kind: str
    commands: tuple[CommandSpec, ...]
    config: str
    entry: str
    artifact: ArtifactSpec | None = None
    hears: frozenset[type] = frozenset()
    resumable: bool = False
    delegates: bool = False
    distributed: bool = False
    check: str = ""
    check_resumed: str = ""
    settle: str = ""
    given: str = ""
    figures: str = ""
    page: str = ""
    facts: str = ""
    shipped: str = ""
    documents: str = ""
    fact_keys: tuple[str, ...] = ()
    saved: str = ""
    afterwards: str = ""
    goes_on: tuple[str, ...] = ()
    begins_anew: bool = False
    unit: str = "step"

    @property
    def command(self) -> str:
        """The `talm` command that does the job."""
        return self.commands[0].name
