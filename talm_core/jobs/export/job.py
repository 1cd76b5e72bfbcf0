"""The job `export`: a checkpoint for other programs, in a directory that appears complete or not
at all."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talm_core.errors import ArtifactError, Problem, RunError, WorkspaceError
from talm_core.jobs.export import card
from talm_core.jobs.export.config import ExportConfig
from talm_core.jobs.sample.job import find_checkpoint, located
from talm_core.model import hf, hf_config
from talm_core.model.config import ModelConfig
from talm_core.model.weight_files import weight_files
from talm_core.model.weights import Weights
from talm_core.runtime.context import JobContext
from talm_core.runtime.events import Event, Finished, Notice, Progress, Started
from talm_core.storage import artifact_files, atomic, unfinished
from talm_core.storage.workspace import Workspace, new_path
from talm_core.tokenizer.hf import huggingface_files, other_ids
from talm_core.tokenizer.vocabulary import FILE_NAME, Vocabulary, file_of
from talm_core.training import checkpoint
from talm_core.training.checkpoint_index import INDEX

_BLOCK = 8 * 1024 * 1024
_TELL_SECONDS = 0.1
_SPARE = 1_000_000  # bytes of what stands beside the weights

_MODEL_FILES = (
    *("config.json", "generation_config.json"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    *(hf_config.TEMPLATE, FILE_NAME, card.FILE_NAME),
)
"""What of a checkpoint is the model, besides its weights; the rest is for training on."""


@dataclass(frozen=True, slots=True)
class _Source:
    """What is exported: a checkpoint's directory, the name of its run, and its step."""

    path: Path
    name: str
    step: int | None


def export(ctx: JobContext, config: ExportConfig) -> None:
    """Write a model for other programs: Started, Progress, Finished.

    Raises:
        ArtifactError: the model is missing, has no checkpoint yet, or is damaged.
        WorkspaceError: the output exists already or cannot be written.
        RunError: it does not fit on the disk.
    """
    began, workspace = time.monotonic(), ctx.workspace
    source = _source(config, workspace)
    target = _target(config, workspace, source)
    ctx.emit(Started(job=config.kind, name=source.name))
    try:
        unfinished.sweep(workspace.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        new = unfinished.new_directory(workspace.root, target)
        with checkpoint.held(source.path), new as directory:
            if config.format == "gguf":
                summary = _gguf(config, source, directory, ctx.report)
            else:
                summary = _huggingface(source, directory, ctx.report)
            if artifact_files.occupied(target):
                raise _exists(target)
    except OSError as error:
        reason = error.strerror or error
        raise RunError(f"{target} could not be written: {reason}") from None
    size = sum(file.stat().st_size for file in target.iterdir())
    summary |= {"step": source.step, "bytes": size, "directory": workspace.relative(target)}
    ctx.emit(Finished(seconds=time.monotonic() - began, summary=summary))


def _source(config: ExportConfig, workspace: Workspace) -> _Source:
    path = find_checkpoint(workspace, config.model)
    if (path / INDEX).is_file():
        checkpoint.verify(path)
    number = path.name.removeprefix("checkpoint-")
    if number == path.name or not number.isdecimal():
        return _Source(path, path.name, None)
    step = int(number)
    # Asked for by itself, it need not be the newest: its step is part of its name.
    chosen = located(workspace, config.model) == path
    return _Source(path, f"{path.parent.name}-{step}" if chosen else path.parent.name, step)


def _target(config: ExportConfig, workspace: Workspace, source: _Source) -> Path:
    if config.output is not None:
        target = new_path(config.output, key="output")
    else:
        kind = f"gguf-{config.outtype}" if config.format == "gguf" else config.format
        target = workspace.root / "exports" / f"{source.name}-{kind}"
    if artifact_files.occupied(target):
        raise _exists(target)
    return target


def _exists(target: Path) -> WorkspaceError:
    hint = "choose another directory"
    return WorkspaceError(Problem("output", "exists already", str(target), hint))


def _require_space(directory: Path, expected: int) -> None:
    free = shutil.disk_usage(directory).free
    if free < expected + _SPARE:
        raise RunError(
            f"the export takes {expected / 1e6:,.0f} MB and the disk of {directory.parent} has"
            f" {free / 1e6:,.0f} MB left"
        )


def _write(parts: Iterator[int], total: int, report: Callable[[Event], None]) -> None:
    """Have the parts written; say how much is, ten times a second at most, and at the end."""
    began = told = time.monotonic()
    done = 0
    for part in parts:
        done += part
        now = time.monotonic()
        if done == total or now - told >= _TELL_SECONDS:
            told = now
            rate = done / max(1e-9, now - began)
            left = (total - done) / rate if rate > 0 else None
            report(
                Progress(phase="writing", done=done, total=total, unit="bytes", rate=rate, eta=left)
            )


# --- GGUF ------------------------------------------------------------------------------------


def _gguf(
    config: ExportConfig, source: _Source, directory: Path, report: Callable[[Event], None]
) -> dict[str, Any]:
    from talm_core.model import gguf, ollama

    shape, weights = _model(source)
    vocabulary = Vocabulary.load(file_of(source.path))
    if vocabulary.n_vocab > shape.vocab_size:
        message = f"its tokenizer has {vocabulary.n_vocab:,} tokens, its model {shape.vocab_size:,}"
        raise ArtifactError(Problem(str(source.path), message))
    gguf.pre_tokenizer(vocabulary)
    entries = gguf.entries(shape, config.outtype)
    total = sum(entry.size for entry in entries)
    _require_space(directory, total)
    kind = gguf.KINDS[config.outtype]
    wider = [entry.name for entry in entries if len(entry.shape) > 1 and entry.kind != kind]
    if wider:
        message = (
            f"{len(wider)} of {len(entries)} tensors stay f16: {config.outtype} takes rows"
            f" in blocks of 32, and n_embd is {shape.n_embd}, the feed-forward {shape.n_hidden}"
        )
        report(Notice(level="warning", message=message))
    template = hf_config.template_of(source.path, vocabulary)
    file = f"{source.name}-{config.outtype}.gguf"
    parts = gguf.write(
        directory / file,
        weights,
        shape,
        vocabulary,
        name=source.name,
        outtype=config.outtype,
        chat_template=template,
        sampling=hf_config.sampling(source.path),
    )
    _write(parts, total, report)
    text = ollama.modelfile(file, vocabulary, shape.context_len, chat_template=template)
    (directory / ollama.FILE_NAME).write_text(text, encoding="utf-8")
    _write_card(source, shape, directory, file=file, chat=bool(template))
    return {
        "format": config.format,
        "outtype": config.outtype,
        "tensors": len(entries),
        "file": file,
        "modelfile": ollama.FILE_NAME,
        "ollama": ollama.model_name(source.name),
    } | ({"chat": True} if template else {})


def _model(source: _Source) -> tuple[ModelConfig, Weights]:
    """The shape of what is exported, and its weights, which are known to have it."""
    shape, weights = hf_config.read_config(source.path), Weights(source.path)
    weights.require(hf.shapes(shape))
    return shape, weights


def _write_card(
    source: _Source, shape: ModelConfig, directory: Path, *, file: str = "", chat: bool
) -> None:
    path = directory / card.FILE_NAME
    if not path.exists():
        text = card.model_card(source.name, source.step, shape, gguf=file, chat=chat)
        path.write_text(text, encoding="utf-8")


# --- Hugging Face ----------------------------------------------------------------------------


def _huggingface(
    source: _Source, directory: Path, report: Callable[[Event], None]
) -> dict[str, Any]:
    shape, _ = _model(source)
    files = [file for name in _MODEL_FILES if (file := source.path / name).is_file()]
    files += weight_files(source.path)
    total = sum(file.stat().st_size for file in files)
    _require_space(directory, total)
    vocabulary = None
    if (source.path / FILE_NAME).is_file():
        vocabulary = Vocabulary.load(source.path / FILE_NAME)
        if said := other_ids(vocabulary):
            report(Notice(message=said, level="warning"))
    template = hf_config.template_of(source.path, vocabulary)
    _write(_copies(files, directory), total, report)
    if vocabulary is not None:
        _renew(vocabulary, shape, template, directory)
    _write_card(source, shape, directory, chat=bool(template))
    return {"format": "huggingface", "files": len(list(directory.iterdir()))}


def _renew(vocabulary: Vocabulary, shape: ModelConfig, template: str, directory: Path) -> None:
    """Write the tokenizer's files as this talm does: an older one may have made the checkpoint.
    What others have added to its configuration stays."""
    files = huggingface_files(vocabulary, context_len=shape.context_len, chat=False)
    path = directory / hf_config.TOKENIZER_CONFIG
    known = json.loads(path.read_bytes()) if path.is_file() else {}
    known.pop("chat_template", None)
    values = known | json.loads(files[hf_config.TOKENIZER_CONFIG])
    if not template:
        (directory / hf_config.TEMPLATE).unlink(missing_ok=True)
    elif not (directory / hf_config.TEMPLATE).is_file():
        values["chat_template"] = template
    files[hf_config.TOKENIZER_CONFIG] = json.dumps(values, indent=1, ensure_ascii=False) + "\n"
    for name, text in files.items():
        atomic.write_text(directory / name, text)


def _copies(files: list[Path], directory: Path) -> Iterator[int]:
    """Copy, a block at a time; yields the bytes of each."""
    for file in files:
        with file.open("rb") as reader, (directory / file.name).open("wb") as writer:
            while block := reader.read(_BLOCK):
                writer.write(block)
                yield len(block)
