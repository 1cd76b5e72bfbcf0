"""The command `talm`.

Exit codes: 0 done, 1 failed, 2 usage or invalid input, 130 stopped. Results and events go to
stdout, everything else to stderr. What a command needs is imported when it runs: `talm list` must
not wait for what only training needs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from talm_core.runtime.process import leave
from talm_core.runtime.standard_streams import guarded

if TYPE_CHECKING:
    from cyclopts import App

    from talm_core.cli.call import Call
    from talm_core.cli.options import Flag


@dataclass(frozen=True, slots=True)
class Command:
    """A command: its function (`module:name`), the job whose settings are its flags, and the other
    flags it has. Without a function it does its job."""

    help: str
    entry: str = ""
    job: str | None = None
    extra: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    takes_name: bool = False

    def flags(self) -> tuple[Flag, ...]:
        from talm_core.cli import options
        from talm_core.settings.toml import config_class

        own = options.flags_of(config_class(self.job)) if self.job else ()
        if self.takes_name:
            text = "Which one: a name, or kind/name where several kinds have that name."
            own = (options.Flag("name", text, "Run", positional=True),)
        extra = tuple(getattr(options, name) for name in self.extra)
        return (*own, *extra, options.JSON, options.WORKSPACE)

    def run(self, call: Call) -> int:
        from talm_core.jobs.registry import spec_of
        from talm_core.jobs.spec import load

        if self.entry:
            return cast(Callable[["Call"], int], load(self.entry))(call)
        from talm_core.cli.run import run_job

        return run_job(call, spec_of(str(self.job)))


_OF_WORKSPACE = {
    "list": Command(
        "What there is in the workspace, or of some kinds.",
        "talm_core.cli.show:list_artifacts",
        extra=("KINDS",),
    ),
    "show": Command(
        "Everything known of one artifact.",
        "talm_core.cli.show:show",
        extra=("DOCUMENTS", "SEED"),
        takes_name=True,
    ),
    "attach": Command(
        "Watch a job that runs elsewhere.", "talm_core.cli.watch:attach", takes_name=True
    ),
    "stop": Command("Have a job save and end.", "talm_core.cli.watch:stop", takes_name=True),
    "rename": Command(
        "Give a tokenizer or a model another name.",
        "talm_core.cli.manage:rename",
        extra=("NEW",),
        takes_name=True,
    ),
    "delete": Command(
        "Delete something for good, after asking.",
        "talm_core.cli.manage:delete",
        extra=("YES",),
        takes_name=True,
    ),
    "tui": Command(
        "All of it in a terminal UI: the same as talm-tui, and takes its flags.",
        "talm_core.cli.main:tui",
    ),
    "help": Command(
        "This page, or the one of a command.", "talm_core.cli.main:show_help", extra=("COMMAND",)
    ),
    "version": Command("The version of talm.", "talm_core.cli.main:show_version"),
}


def commands() -> dict[str, Command]:
    """Every command by its name: those of jobs, the one that runs others first, then what can be
    done with artifacts."""
    from talm_core.jobs.registry import specs

    found = {
        command.name: Command(
            command.help, command.entry, spec.kind, command.flags, command.aliases
        )
        for spec in sorted(specs(), key=lambda spec: not spec.delegates)
        for command in spec.commands
    }
    return found | _OF_WORKSPACE


def _by_name() -> dict[str, Command]:
    """The same, by the names they had before as well."""
    return {
        name: command for key, command in commands().items() for name in (key, *command.aliases)
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `talm`; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    return guarded("talm", lambda: _guarded(words))


def _guarded(words: list[str]) -> int:
    if words in (["--version"], ["version"]):
        return show_version()
    try:
        return _main(_command_first(words))
    except KeyboardInterrupt:
        return 130


def show_version(_: Call | None = None) -> int:
    """Say which version this is."""
    from talm_core.version import version

    sys.stdout.write(f"talm {version()}\n")
    return 0


def show_help(call: Call) -> int:
    """Every command, or the flags of one.

    Raises:
        InputError: there is no such command (names the nearest).
    """
    call.require()
    name = call.given.text("command")
    if name is not None:
        _require_command(name)
    return _help([] if name is None else [name])


def _require_command(name: str) -> None:
    from talm_core.errors import InputError, Problem, nearest

    known = _by_name()
    if name not in known:
        raise InputError(Problem(name, "there is no such command", hint=nearest(name, known)))


def tui(words: list[str]) -> int:
    """Become `talm-tui`, with the same words."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", "talm_tui", *words])  # noqa: S606


def _command_first(words: list[str]) -> list[str]:
    """The words with flags that work everywhere moved behind the command."""
    moved: list[str] = []
    rest = list(words)
    while rest and rest[0].startswith("--"):
        if rest[0] == "--json" or rest[0].startswith("--workspace="):
            moved.append(rest.pop(0))
        elif rest[0] == "--workspace" and len(rest) > 1:
            moved += [rest.pop(0), rest.pop(0)]
        else:
            break
    return [*rest[:1], *moved, *rest[1:]]


def _main(words: list[str]) -> int:
    from talm_core.cli.call import FAILED, INVALID, Call, complain
    from talm_core.cli.parser import parse
    from talm_core.errors import InputError, TalmError
    from talm_core.runtime.render import plain
    from talm_core.storage.workspace import Workspace
    from talm_core.system.refusals import refusal

    if not words or words[0] in ("-h", "--help"):
        return _help([])
    flags: tuple[Flag, ...] = ()
    try:
        _require_command(words[0])
        if any(word in ("-h", "--help") for word in words[1:]):
            return _help(words[:1])
        if words[0] == "tui":
            # It reads its own words.
            return tui(words[1:])
        command = _by_name()[words[0]]
        flags = command.flags()
        given = parse(words[1:], flags)
        return command.run(Call(words[0], given, Workspace(given.text("workspace"))))
    except InputError as error:
        complain(error.problems, flags)
        return INVALID
    except TalmError as error:
        sys.stderr.write(f"talm: {plain(str(error))}\n")
        return FAILED
    except (OSError, MemoryError) as error:
        said = refusal(error, Path.cwd())
        if not said:
            raise
        sys.stderr.write(f"talm: {plain(said)}\n")
        return FAILED


def _help(words: list[str]) -> int:
    known = commands()
    wanted = {
        name: command
        for name, command in known.items()
        if not words or words[0] in (name, *command.aliases)
    }
    _app(wanted).help_print(words)
    return 0


def _app(commands: dict[str, Command]) -> App:
    from cyclopts import App

    app = App(
        name="talm",
        help="Train a language model of your own: tokenizer, data, model."
        " talm-tui does all of it in a terminal UI; talm COMMAND --help tells a command's flags.",
        help_format="plaintext",
        help_flags=("--help", "-h"),
        version_flags=("--version",),
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
    )
    for place, (name, command) in enumerate(commands.items()):
        app.command(_function(command), name=(name, *command.aliases), sort_key=place)
    return app


def _function(command: Command) -> Callable[..., None]:
    """What cyclopts writes a command's help from."""
    from cyclopts import Group

    from talm_core.cli.options import ADVANCED, EVERYWHERE, signature

    flags = command.flags()
    names = [name for name in dict.fromkeys(flag.group for flag in flags) if name != ADVANCED]
    names = [name for name in names if name != EVERYWHERE] + [ADVANCED, EVERYWHERE]
    groups = {name: Group(name, sort_key=number) for number, name in enumerate(names)}

    def function(**values: Any) -> None:
        """Only its signature is read."""

    function.__doc__ = command.help
    shape = signature(flags, groups)
    function.__signature__ = shape  # type: ignore[attr-defined]
    function.__annotations__ = {item.name: item.annotation for item in shape.parameters.values()}
    return function


def run() -> NoReturn:
    """The command `talm`."""
    leave(main())


if __name__ == "__main__":
    run()
