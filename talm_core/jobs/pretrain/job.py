"""The job `pretrain`: train a model on a dataset, watch it, keep it safe."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from talm_core.errors import ConfigError
from talm_core.jobs.pretrain.check import worries
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.pretrain.data_identity import Resumed, compare
from talm_core.jobs.pretrain.inputs import Inputs
from talm_core.runtime import rank
from talm_core.runtime.context import JobContext, StopRequested
from talm_core.runtime.events import Finished, Notice, Planned, Progress, Started
from talm_core.runtime.opening import begun
from talm_core.settings.toml import dumps
from talm_core.storage.workspace import Workspace
from talm_core.training import checkpoint, init_from
from talm_core.training.checkpointer import CheckpointWriter
from talm_core.training.estimate import Plan, plan
from talm_core.training.lengthening import lengthening
from talm_core.training.session import Session

if TYPE_CHECKING:
    from talm_core.training.distributed import World
    from talm_core.training.loop import TrainLoop


def pretrain(context: JobContext, config: PretrainConfig) -> None:
    """Train a model, going on from the newest valid checkpoint in its directory if there is one.

    Takes the commands Checkpoint, EvaluateEvery, Sample and Stop. However it is stopped, it saves
    what it has.

    Raises:
        ArtifactError: the dataset or its tokenizer is missing, damaged or does not fit.
        ConfigError: a device that is not here, or more sequences in a batch than there are.
        RunError: a loss that is not finite, or no room on the disk.
    """
    began = time.monotonic()
    workspace, directory = context.workspace, context.directory
    directory.mkdir(parents=True, exist_ok=True)
    world = None
    if rank.number():
        world, found = _join_first(config, workspace)
    else:
        found = checkpoint.find(directory)
    longer = lengthening(directory, found, config)
    found = found if longer is None else longer.found
    resumed_from = found.step if found.path else None
    context.emit(Started(job=config.kind, name=config.artifact, resumed_from=resumed_from))
    for problem in found.damaged:
        context.emit(Notice(message=f"checkpoint passed over: {problem}", level="warning"))
    session = Session(context, config, directory, found, world)
    try:
        with session.ending():
            inputs = Inputs.of(config, workspace)
            resumed = compare(found, inputs.dataset, inputs.manifest, config.data_dir)
            session.train_state.data = resumed.identity.to_state()
            if resumed.notice:
                session.control.say(Notice(message=resumed.notice, level="warning"))
            planned = plan(config, inputs.manifest, inputs.vocabulary.n_vocab)
            loop, event = _set_up(session, config, workspace, inputs, planned, resumed)
            if longer is not None:
                longer.begin(directory)
                begun(directory)
                session.control.say(Notice(message=longer.text))
            loop.run(event)
    except StopRequested:
        # What there was is saved; whoever runs this says that it was stopped.
        return
    summary = loop.summary(planned.parameters.total)
    summary["directory"] = workspace.relative(directory)
    context.emit(Finished(seconds=time.monotonic() - began, summary=summary))


def _join_first(config: PretrainConfig, workspace: Workspace) -> tuple[World, checkpoint.Found]:
    """Meet the other processes, and hear from the first where to go on."""
    from talm_core.training.distributed import World

    directory = workspace.directory_of(config)
    world = World.join(config.nproc, directory, workspace.root)
    return world, checkpoint.Found.from_json(directory, world.broadcast(""))


def _set_up(
    session: Session,
    config: PretrainConfig,
    workspace: Workspace,
    inputs: Inputs,
    planned: Plan,
    resumed: Resumed,
) -> tuple[TrainLoop, Planned]:
    """Load everything; returns the loop and what it is going to do."""
    found, say = session.found, session.control.say
    session.writer = CheckpointWriter(
        session.directory,
        keep=config.keep_checkpoints,
        expected_bytes=planned.checkpoint_bytes,
        level=session.schedule.falls_after,
        active=rank.number() == 0,
    )
    session.writer.require_space()
    # What no run should begin with was refused before this process was started.
    for concern in worries(config, inputs.manifest, workspace):
        if not concern.fatal:
            say(Notice(message=str(concern.problem), level="warning"))
    say(Progress(phase="loading", done=0))
    # Here torch comes in, a second or two.
    from talm_core.jobs.pretrain.task import PretrainTask
    from talm_core.training.distributed import World
    from talm_core.training.setup import Setup, changes

    # Its validation text is opened now and kept open: that it is gone is noticed before the first
    # step or not at all.
    task = PretrainTask.of(config, inputs)
    world = session.sync.world
    if world is None:
        world = World.join(config.nproc, session.directory, workspace.root)
        session.sync.world = world
        world.broadcast(found.to_json())
    setup = Setup(
        config=config,
        task=task,
        shape=task.shape,
        plan=planned,
        root=workspace.root,
        found=found,
        world=world,
        writer=session.writer,
        say=say,
        loader_state=resumed.loader_state,
        toml=dumps(config),
        data=session.train_state.data,
        changed=changes(str(found.state.get("config", "")), config),
        init_from=None if found.path else _init_from(config, workspace, inputs),
    )
    trainer = setup.trainer()
    loop = setup.loop(session, trainer, inputs.vocabulary)
    manifest = inputs.manifest
    return loop, setup.planned(trainer, manifest.train_tokens, manifest.val_tokens)


def _init_from(
    config: PretrainConfig, workspace: Workspace, inputs: Inputs
) -> tuple[str, Path] | None:
    """The checkpoint whose weights a new run begins with, and what it was called."""
    if config.init_from is None:
        return None
    path = init_from.find(workspace, config.init_from)
    problems = init_from.mismatches(path, config, inputs.manifest, text=config.init_from)
    if problems:
        raise ConfigError(*problems)
    return config.init_from, path
