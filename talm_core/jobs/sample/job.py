"""The job `sample`, and a session that keeps models at hand between prompts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from talm_core.errors import ArtifactError, ConfigError, Problem
from talm_core.jobs.sample.config import SampleConfig
from talm_core.runtime.context import JobContext
from talm_core.runtime.events import Event, Finished, Generated, Sampled, Started
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer.vocabulary import END_OF_TEXT, Vocabulary, file_of
from talm_core.training import checkpoint

if TYPE_CHECKING:
    from talm_core.model.transformer import Transformer
    from talm_core.tokenizer.tokenizer import Tokenizer


def sample(ctx: JobContext, config: SampleConfig) -> None:
    """Continue a text with a trained model: Started, Generated for each token, Sampled, Finished.

    Raises:
        ArtifactError: the model is missing, has no checkpoint yet, or is damaged.
        ConfigError: the device is not here.
    """
    for event in Session(ctx.workspace).sample(config):
        ctx.emit(event)
        if isinstance(event, Generated | Sampled):
            ctx.poll()


@dataclass(frozen=True, slots=True)
class _Loaded:
    model: Transformer
    tokenizer: Tokenizer
    vocabulary: Vocabulary
    step: int


KEPT = 2
"""Models a session keeps loaded: two checkpoints are compared without loading either again."""


class Session:
    """Samples from models and keeps the last ones loaded. A model in training is loaded anew when
    it has a newer checkpoint."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._loaded: dict[tuple[Path, int, str], _Loaded] = {}

    def sample(self, config: SampleConfig) -> Iterator[Event]:
        """The events of one text, each written when it is asked for, so that several can be
        written in turn; errors as those of the job `sample`."""
        began = time.monotonic()
        yield Started(job=config.kind, name=config.artifact)
        path, loaded = self._load(config)

        from talm_core.model.generate import split_prompt, stream

        end = loaded.vocabulary.special_tokens.get(END_OF_TEXT)
        prompt, begin = split_prompt(loaded.tokenizer, config.prompt, healing=config.token_healing)
        # Each document begins with the end of the one before: that is how a text starts.
        ids = prompt if end is None else [end, *prompt]
        if not ids:
            raise ConfigError(Problem("prompt", "must not be empty: this model has no start"))
        pieces: list[str] = []
        start = time.perf_counter()
        for step in stream(
            loaded.model,
            loaded.tokenizer,
            ids,
            max_tokens=config.max_tokens,
            temperature=config.temperature,
            top_k=config.top_k,
            top_p=config.top_p,
            seed=config.seed,
            stop_token=end,
            begin=begin,
        ):
            pieces.append(step.text)
            yield Generated(
                token=step.token,
                text=step.text,
                probability=step.probability,
                alternatives=step.alternatives,
            )
        rate = len(pieces) / max(1e-9, time.perf_counter() - start)
        yield Sampled(
            step=loaded.step,
            prompt=config.prompt,
            text="".join(pieces),
            tokens=len(pieces),
            tokens_per_second=rate,
        )
        summary = {
            "step": loaded.step,
            "tokens": len(pieces),
            "tokens_per_second": rate,
            "directory": self._workspace.relative(path),
        }
        yield Finished(seconds=time.monotonic() - began, summary=summary)

    def load(self, config: SampleConfig) -> None:
        """Have a model at hand before there is a text to continue; errors as those of `sample`."""
        self._load(config)

    def _load(self, config: SampleConfig) -> tuple[Path, _Loaded]:
        from talm_core.training.device import choose_device

        device = choose_device(config.device)
        newest = _newest(located(self._workspace, config.model))
        key = (*_stamp(newest), device)
        loaded = self._loaded.pop(key, None)
        if loaded is None:
            # Only now is it read and compared with its checksums, which takes a while.
            newest = find_checkpoint(self._workspace, config.model)
            key = (*_stamp(newest), device)
            while len(self._loaded) >= KEPT:
                # Let go of before another takes its memory: the one used longest ago.
                del self._loaded[next(iter(self._loaded))]
            loaded = self._loaded.pop(key, None) or _read(newest, device)
        self._loaded[key] = loaded
        return newest, loaded


def _read(path: Path, device: str) -> _Loaded:
    from talm_core.model import hf
    from talm_core.tokenizer.tokenizer import Tokenizer

    # A run that goes on does not remove it meanwhile.
    with checkpoint.held(path):
        vocabulary = Vocabulary.load(file_of(path))
        model = hf.load(path).to(device)
    model.requires_grad_(requires_grad=False)
    if vocabulary.n_vocab > model.config.vocab_size:
        message = (
            f"its tokenizer has {vocabulary.n_vocab:,} tokens, its model"
            f" {model.config.vocab_size:,}"
        )
        raise ArtifactError(Problem(str(path), message))
    number = path.name.removeprefix("checkpoint-")
    step = int(number) if number.isdecimal() else 0
    return _Loaded(model, Tokenizer.from_vocabulary(vocabulary), vocabulary, step)


def _stamp(path: Path) -> tuple[Path, int]:
    # A run that was started anew may have written another checkpoint under the same name.
    config = path / "config.json"
    return path, config.stat().st_mtime_ns if config.exists() else 0


def located(workspace: Workspace, text: str) -> Path:
    """The directory of a model, or of the checkpoint `nano/checkpoint-000500`, or a path's.

    Raises:
        ArtifactError: there is none.
    """
    found = checkpoint.named(workspace, text, key="model")
    return found or workspace.locate("pretrain", text, key="model")


def _newest(directory: Path) -> Path:
    known = checkpoint.checkpoints(directory)
    return known[-1][1] if known else directory


def find_checkpoint(workspace: Workspace, text: str) -> Path:
    """The checkpoint of a model's name, of its directory, or one by its own name or directory.

    Raises:
        ArtifactError: there is none.
    """
    directory = located(workspace, text)
    if (directory / "config.json").is_file():
        return checkpoint.require_own(directory, workspace)
    found = checkpoint.find(directory)
    if found.path is None:
        message = "has no checkpoint yet"
        if found.damaged:
            message = "has no checkpoint that can be read: " + str(found.damaged[0])
        raise ArtifactError(Problem("model", message, text, "train it first"))
    return checkpoint.require_own(found.path, workspace)
