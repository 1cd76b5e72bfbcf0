"""What can be known to be wrong before a job starts, without loading anything heavy.

Forms ask while somebody types, the command line and `jobs.start` ask once. A job still checks what
only it can see, such as the middle of a file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from talm_core.data.local.corpus import open_corpus
from talm_core.data.manifest import Manifest
from talm_core.data.sources import SOURCES
from talm_core.errors import InputError, Problem
from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.pretrain.presets import find_preset
from talm_core.jobs.quickstart.config import QuickstartConfig
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.settings.schema import Declared, JobConfig, build, settings_of
from talm_core.storage.workspace import Workspace, there, user_path
from talm_core.system.hardware import room
from talm_core.tokenizer.vocabulary import Vocabulary, find_vocabulary
from talm_core.training import origin
from talm_core.training.checkpoint import checkpoints
from talm_core.training.plan import plan
from talm_core.training.reasons import Concern, concerns

RESERVED = "base"
"""The name of the tokenizer that ships with talm."""


def check(config: JobConfig, workspace: Workspace) -> list[Problem]:
    """Every problem a job would run into, each under its setting's name; empty: go ahead."""
    problems = list(_collected(lambda: workspace.directory_of(config)))
    match config:
        case TokenizerConfig():
            problems += _tokenizer(config, workspace)
        case DataConfig():
            problems += _data(config, workspace)
        case PretrainConfig():
            problems += _pretrain(config, workspace)
        case QuickstartConfig():
            problems += _quickstart(config, workspace)
    return problems


def settle(config: JobConfig, workspace: Workspace) -> JobConfig:
    """The config with every path made absolute, so that it means the same from any directory.
    Names of artifacts stay names."""
    changes: dict[str, Any] = {}
    for item in settings_of(type(config)):
        value = getattr(config, item.key)
        if item.setting.picks == "paths":
            changes[item.key] = tuple(str(user_path(part).absolute()) for part in value)
        elif item.setting.picks in _KINDS and value:
            changes[item.key] = _named(workspace, item, value) or _absolute_if_there(value)
    if isinstance(config, PretrainConfig) and config.init_from is not None:
        changes["init_from"] = origin.settled(workspace, config.init_from)
    return build(type(config), config.model_dump() | changes) if changes else config


_KINDS = {"dataset": "data", "tokenizer": "tokenizer"}


def _named(workspace: Workspace, item: Declared, text: str) -> str | None:
    """The full name of the artifact meant: `stdlib` may be `stdlib/all` today and fit several
    tomorrow."""
    kind = _KINDS[item.setting.picks]
    if kind == "tokenizer" and text == RESERVED:
        return text
    try:
        directory = workspace.find(kind, text, key=item.key)
    except InputError:
        return None
    return directory.relative_to(workspace.folder(kind)).as_posix()


def _absolute_if_there(text: str) -> str:
    path = user_path(text)
    found = there(path.exists) or there((path.parent / f"{path.name}.json").exists)
    return str(path.absolute()) if found else text


def _collected(look: Callable[[], object]) -> Iterator[Problem]:
    try:
        look()
    except InputError as error:
        yield from error.problems


def _corpus(source: str, paths: tuple[str, ...], key: str, **reading: Any) -> Iterator[Problem]:
    """Problems of a corpus, told under the setting that named it."""
    for problem in _collected(lambda: open_corpus(source, paths=paths, **reading)):
        yield Problem(key, problem.message, problem.value or problem.key, problem.hint)


def _reading(config: TokenizerConfig | DataConfig | QuickstartConfig) -> dict[str, Any]:
    """How files are read, as `open_corpus` takes it."""
    return {"text_field": config.text_field, "encoding_errors": config.encoding_errors}


def _tokenizer(config: TokenizerConfig, workspace: Workspace) -> Iterator[Problem]:
    if config.name == RESERVED:
        message = "is the tokenizer that ships with talm"
        yield Problem("name", message, config.name, "choose another name")
    if config.text_file:
        yield from _corpus("text", config.text_file, "text_file", **_reading(config))
    elif config.corpus == "dataset":
        for problem in _collected(
            lambda: Manifest.load(workspace.locate("data", str(config.data_dir), key="data_dir"))
        ):
            yield Problem("data_dir", problem.message, config.data_dir, problem.hint)
    elif not SOURCES[config.corpus].network:
        sample = config.corpus_sample or "all"
        yield from _corpus(config.corpus, (), "corpus", sample=sample)


def _data(config: DataConfig, workspace: Workspace) -> Iterator[Problem]:
    if not SOURCES[config.source].network:
        key = "path" if config.source == "text" else "source"
        reading = _reading(config)
        yield from _corpus(config.source, config.path, key, sample=config.sample, **reading)
    yield from _collected(
        lambda: Vocabulary.load(
            find_vocabulary(workspace, config.tokenizer_path, key="tokenizer_path")
        )
    )


def _pretrain(config: PretrainConfig, workspace: Workspace) -> Iterator[Problem]:
    try:
        directory = workspace.locate("data", config.data_dir, key="data_dir")
        manifest = Manifest.load(directory)
    except InputError as error:
        for problem in error.problems:
            yield Problem("data_dir", problem.message, config.data_dir, problem.hint)
        return
    window = config.context_len + 1
    for split, tokens in (("train", manifest.train_tokens), ("val", manifest.val_tokens)):
        if tokens < window:
            message = f"its {split} part has {tokens:,} tokens, context_len needs {window:,}"
            yield Problem(
                "data_dir", message, config.data_dir, "use more text or a shorter context"
            )
    windows = (manifest.train_tokens - 1) // config.context_len
    if 0 < windows < config.batch_size:
        message = f"the dataset has {windows:,} windows of {config.context_len} tokens"
        yield Problem("batch_size", message, config.batch_size, f"at most {windows}")
    if config.init_from is not None:
        yield from _origin(config, config.init_from, manifest, workspace)
    if config.tokenizer_path is not None:
        yield from _same_tokenizer(config.tokenizer_path, manifest, workspace)
    yield from (
        concern.problem for concern in worries(config, manifest, workspace) if concern.fatal
    )


def worries(config: PretrainConfig, manifest: Manifest, workspace: Workspace) -> list[Concern]:
    """What is worrying about a run on this dataset and machine, fatal or not."""
    try:
        directory = workspace.directory_of(config)
    except InputError:
        return []
    planned = plan(config, manifest, manifest.tokenizer.n_vocab)
    kept = len(checkpoints(directory))
    return concerns(config, planned, room(config.device, directory), kept=kept)


def _origin(
    config: PretrainConfig, text: str, manifest: Manifest, workspace: Workspace
) -> Iterator[Problem]:
    with contextlib.suppress(InputError):
        if checkpoints(workspace.directory_of(config)):
            # It has begun: where from matters no more, and may be gone.
            return
    try:
        yield from origin.misfits(origin.find(workspace, text), config, manifest)
    except InputError as error:
        yield from error.problems


def _same_tokenizer(text: str, manifest: Manifest, workspace: Workspace) -> Iterator[Problem]:
    try:
        path = find_vocabulary(workspace, text, key="tokenizer_path")
        identity = Vocabulary.load(path).identity
    except InputError as error:
        yield from error.problems
        return
    made_with = manifest.tokenizer
    if identity != made_with.identity:
        message = (
            f"({identity[:19]}…) is not the tokenizer the dataset was made with: "
            f"{made_with.name} ({made_with.identity[:19]}…)"
        )
        yield Problem("tokenizer_path", message, text, "leave it out to use the dataset's own")


def _quickstart(config: QuickstartConfig, workspace: Workspace) -> Iterator[Problem]:
    from talm_core.jobs.quickstart.job import stages, taken

    preset = list(_collected(lambda: find_preset(workspace, config.preset)))
    yield from preset or _collected(lambda: stages(config, workspace))
    if not list(_collected(lambda: workspace.directory_of(config))):
        begun = workspace.directory_of(config).is_dir()
        yield from [] if begun else taken(config, workspace)
    if config.name == RESERVED:
        yield Problem("name", "is taken by the built-in tokenizer", config.name)
    if config.text_file:
        yield from _corpus("text", config.text_file, "text_file", **_reading(config))
    else:
        yield from _corpus("stdlib", (), "text_file")
