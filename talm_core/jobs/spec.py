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
    made of. `reserved` are names that ship with talm, and `about_reserved` says how large that is.
    `kept_open`: a job that uses one reads it until the job ends.
    """

    folder: str
    noun: str
    title: str
    main_file: str = "config.toml"
    name_key: str = "name"
    parts: int = 1
    renamable: bool = False
    reserved: tuple[str, ...] = ()
    about_reserved: str = ""
    kept_open: bool = False

    @property
    def said_as(self) -> tuple[str, ...]:
        """What may stand before a name, such as `models/nano` or `model/nano`."""
        return (self.folder, self.noun)


@dataclass(frozen=True, slots=True)
class PlaceSpec:
    """Where a terminal UI offers a kind, among the places that a digit leads to.

    `name` begins the ids of its keys, `title` stands beside its digit, `screen` is its
    `module:class`. `follows`: its jobs are followed beside the form that started them, and not
    listed as runs. `step` heads its box in the pipeline, where `about` says what such an artifact
    is while there is none; `key` goes there, to do what `verb` says. `offer` says so in a sentence,
    with `{name}` for the newest of the step before.
    """

    name: str
    title: str
    screen: str
    follows: bool = False
    step: str = ""
    about: str = ""
    key: str = ""
    verb: str = ""
    offer: str = ""


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """A column in the list of a kind's artifacts: its head, whether its texts stand at the left,
    and whether it says how far the job is while it is not done."""

    head: str
    left: bool = False
    going: bool = False


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A kind of job.

    `kind` stands in `config.toml` and the journal. `commands[0]` does the job; others take the
    same settings. `entry` names `run`, `config` the settings.

    How it is talked to: `hears` are the commands it takes itself besides pause and stop, as names
    of types of `talm_core.runtime.events`. `resumable`: what it made before is gone on with when
    that is asked for. `distributed`: several processes can do it together.

    `place` is its place in a terminal UI. A kind without one that makes an artifact has a form that
    is made of its settings, and its jobs are runs, each with a monitor. `makes_model`: what it
    leaves are checkpoints of a model, which can be prompted and exported.

    Hooks, each `module:name` or nothing:

    - `check(config, workspace)` yields the `Problem`s that can be known before it starts;
    - `check_resumed(config, workspace)` gives those with which one that was begun cannot be gone on
      with;
    - `settle(config, workspace)` gives settings changed so that they mean the same from anywhere;
    - `stages(config, workspace)` gives the configs of the jobs it runs, which hear the commands
      sent to it; its name stands for all of them;
    - `at_once(workspace)` gives a config that one key starts, without a form;
    - `given(values, preset, resume, workspace)` gives the values to build the config from and
      whether a job that was begun is gone on with;
    - `figures(overview)` yields the few numbers that tell its artifacts apart in a list;
    - `brief(overview, count)` yields the one thing worth knowing of a finished one where there is
      little room, the longest wording first; `count` says a number in few characters; without
      this hook it is the first of `figures`;
    - `cells(overview, count)` gives a text for each of `columns`, which tell artifacts apart in a
      list of their own;
    - `asked(config)` yields what is asked for beside the settings that are not the usual ones, each
      under a heading;
    - `page(overview)` yields lines for `talm show`, instead of the table of its summary;
    - `facts(overview)` gives what `talm show --json` adds, by key; `fact_keys` are those keys, None
      for other kinds;
    - `shipped(name)` gives the lines and the facts of what ships with talm under a reserved name;
    - `documents(artifact, count, seed)` yields documents drawn at random, as facts and as lines;
    - `saved(directory)` gives the config that was last saved with the work, as TOML, or None;
    - `afterwards(config, workspace)` gives the words of the command that makes use of the result.

    `length` is the setting of which more makes a finished artifact longer, empty where none does;
    `limit` another one that may have ended it before that, and is lifted when it is made longer.

    `goes_on` are the words before a name that go on with a job that was stopped, empty where the
    same command again does it; `begins_anew` where nothing is kept. `unit` is what its
    progress counts.
    """

    kind: str
    commands: tuple[CommandSpec, ...]
    config: str
    entry: str
    artifact: ArtifactSpec | None = None
    hears: frozenset[str] = frozenset()
    resumable: bool = False
    distributed: bool = False
    place: PlaceSpec | None = None
    makes_model: bool = False
    stages: str = ""
    at_once: str = ""
    check: str = ""
    check_resumed: str = ""
    settle: str = ""
    given: str = ""
    figures: str = ""
    brief: str = ""
    asked: str = ""
    columns: tuple[ColumnSpec, ...] = ()
    cells: str = ""
    page: str = ""
    facts: str = ""
    shipped: str = ""
    documents: str = ""
    fact_keys: tuple[str, ...] = ()
    saved: str = ""
    afterwards: str = ""
    goes_on: tuple[str, ...] = ()
    begins_anew: bool = False
    length: str = ""
    limit: str = ""
    unit: str = "step"

    @property
    def command(self) -> str:
        """The `talm` command that does the job."""
        return self.commands[0].name

    @property
    def delegates(self) -> bool:
        """Whether it runs other jobs."""
        return bool(self.stages)

    @property
    def has_form(self) -> bool:
        """Whether somebody can set it up in a form."""
        return self.artifact is not None and not self.at_once

    @property
    def is_run(self) -> bool:
        """Whether its jobs are listed as runs, each with a monitor."""
        return self.has_form and not (self.place is not None and self.place.follows)
