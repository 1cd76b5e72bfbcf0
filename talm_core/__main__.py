"""`python -m talm_core DIRECTORY`: do the job that a directory's `config.toml` asks for.

This is the process behind `jobs.start`; it works by hand, in batch scripts and under torchrun just
as well. Exit codes: 0 done, 1 failed, 2 invalid input, 130 stopped (0 under torchrun, which would
take it for a failure).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from talm_core.errors import ArtifactError, ConfigError, InputError, Problem, TalmError
from talm_core.jobs.registry import artifact_kinds, spec_of
from talm_core.runtime import control, rank, runner
from talm_core.runtime.context import Unheard
from talm_core.runtime.entry import open_job, share_cores
from talm_core.runtime.events import Finished, done
from talm_core.runtime.journal import last_record
from talm_core.runtime.lock import Lock
from talm_core.runtime.opening import check_unchanged, require_own_files
from talm_core.runtime.process import leave
from talm_core.runtime.render import plain
from talm_core.runtime.standard_streams import guarded
from talm_core.settings.schema import JobConfig
from talm_core.storage.workspace import Workspace


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit code."""
    return guarded("talm", lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="python -m talm_core", description=__doc__)
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("directory", nargs="?", type=Path, help="an artifact's directory")
    target.add_argument(
        "--play", action="store_true", help="answer prompts: settings in on stdin, events out"
    )
    target.add_argument(
        "--tokenize",
        action="store_true",
        help="cut text into tokens: asks in on stdin, answers out",
    )
    parser.add_argument("--workspace", type=Path, default=None)
    parser.add_argument("--lock-fd", type=int, default=None, help=argparse.SUPPRESS)
    parser.add_argument(
        "--override", action="store_true", help="take settings that were changed since"
    )
    options = parser.parse_args(arguments)
    try:
        if options.play:
            share_cores()
            from talm_core.jobs.sample.service import serve

            return serve(Workspace(options.workspace), sys.stdin, sys.stdout)
        if options.tokenize:
            from talm_core.tokenizer import service

            return service.serve(Workspace(options.workspace), sys.stdin, sys.stdout)
        control.stop_on_signals()
        directory = options.directory.absolute()
        return _work(directory, options.workspace, options.lock_fd, override=options.override)
    except TalmError as error:
        sys.stderr.write(f"{plain(str(error))}\n")
        return 2 if isinstance(error, InputError) else 1


def _work(directory: Path, root: Path | None, descriptor: int | None, *, override: bool) -> int:
    require_own_files(directory)
    held = None if descriptor is None else Lock.inherit(directory, descriptor)
    config = runner.read_config(directory)
    workspace = Workspace(root or _root_of(directory))
    if workspace.directory_of(config) != directory:
        message = f"its config names {workspace.directory_of(config)}"
        raise ArtifactError(Problem(str(directory), message, hint="give --workspace"))
    if rank.number():
        return _join_in(config, workspace)
    if held is None:
        # By hand: whatever is there is gone on with.
        record = last_record(directory)
        finished = record is not None and done(record.event)
        if finished and not config.extends(config, directory):
            raise ArtifactError(Problem(str(directory), "is finished"))
        check_unchanged(config, directory, override=override)
        held = Lock.acquire(directory)
        control.forget(directory)
    ended = isinstance(runner.run(config, workspace, resume=True, held=held), Finished)
    # To a launcher anything else is a failure, after which it may begin again.
    return 0 if ended or rank.launched() else 130


def _join_in(config: JobConfig, workspace: Workspace) -> int:
    """Work beside the process that has the lock and the journal."""
    if not spec_of(config.kind).distributed:
        raise ConfigError(Problem("job", "is done by one process", config.kind))
    job = open_job(config)
    job(Unheard(workspace, workspace.directory_of(config)))
    return 0


def _root_of(directory: Path) -> Path:
    for parent in directory.parents:
        if parent.name in {known.folder for known in artifact_kinds().values()}:
            return parent.parent
    raise ArtifactError(
        Problem(str(directory), "lies in no workspace", hint="give one with --workspace")
    )


if __name__ == "__main__":
    leave(main())
