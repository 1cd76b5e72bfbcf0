"""A run goes on with what it has learned from, and with nothing else under that name."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from talm_core.data.dataloader import TokenLoader
from talm_core.data.manifest import Manifest, Shard, TokenizerInfo
from talm_core.errors import ArtifactError, InputError
from talm_core.jobs.pretrain.data_identity import DataIdentity
from talm_core.runtime import runner
from talm_core.runtime.events import Event, Finished, Metrics, Notice, Started
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer.vocabulary import Vocabulary
from talm_core.training import checkpoint
from tests.core.driving import run_events, stepped_run

from .test_pretrain import assert_equal, tensors
from .tiny_runs import NAME, VOCABULARY, tiny_config

OTHER = Vocabulary(
    name="other",
    pattern=VOCABULARY.pattern,
    ranks={bytes([i]): i for i in range(256)} | {b"an": 256, b"and": 257},
    special_tokens={"<|endoftext|>": 258},
)
"""Another tokenizer of the same size."""


def write(
    workspace: Workspace,
    lengths: list[int],
    *,
    seed: int = 1,
    val_seed: int = 7,
    vocabulary: Vocabulary = VOCABULARY,
    name: str = NAME,
) -> Path:
    """A dataset of random letters with training shards of these lengths. With the same seed a
    longer one begins with the shorter."""
    directory = workspace.directory("data", name)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    letters = np.random.default_rng(seed).integers(97, 123, 40_000).astype(np.uint16)
    made: list[Shard] = []
    start = 0
    for number, length in enumerate(lengths, 1):
        made.append(_shard(directory, "train", number, letters[start : start + length]))
        start += length
    val = np.random.default_rng(val_seed).integers(97, 123, 600).astype(np.uint16)
    made.append(_shard(directory, "val", 1, val))
    info = TokenizerInfo(
        name=vocabulary.name, identity=vocabulary.identity, n_vocab=vocabulary.n_vocab
    )
    manifest = Manifest(source="text", sample="tiny", tokenizer=info, dtype="uint16", shards=made)
    manifest.save(directory)
    vocabulary.save(directory / "tokencoder.json")
    return directory


def _shard(directory: Path, split: Any, number: int, ids: np.ndarray[Any, Any]) -> Shard:
    path = directory / f"{split}_{number:06d}.npy"
    ids = ids.copy()
    ids[0] = 258
    np.save(path, ids)
    return Shard(
        file=path.name,
        split=split,
        tokens=len(ids),
        documents=1,
        bytes=len(ids),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


LENGTHS = [2000, 2000, 900]
SETTINGS: dict[str, Any] = {"eval_every": 0, "sample_every": 0, "checkpoint_every": 4}


def begun(workspace: Workspace) -> None:
    """A run of twelve steps that was stopped after eight."""
    events = stepped_run(tiny_config(**SETTINGS), workspace)
    for event in events:
        if isinstance(event, Metrics) and event.step == 8:
            break
    events.close()


def resumed(workspace: Workspace, *, override: bool = False, **changes: Any) -> list[Event]:
    config = tiny_config(**SETTINGS | changes)
    return run_events(config, workspace, resume=True, override=override)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "w")
    write(made, LENGTHS)
    begun(made)
    return made


def test_a_checkpoint_keeps_the_tokenizers_identity_and_the_shards_checksums(
    workspace: Workspace,
) -> None:
    found = checkpoint.find(workspace.directory("pretrain", "tiny"))
    manifest = Manifest.load(workspace.directory("data", NAME))
    assert found.state["data"] == {
        "tokenizer": VOCABULARY.identity,
        "train": [[shard.tokens, shard.sha256] for shard in manifest.of("train")],
        "val": [[shard.tokens, shard.sha256] for shard in manifest.of("val")],
    }
    assert DataIdentity.from_state(found.state) == DataIdentity.of(manifest)


@pytest.mark.parametrize("override", [False, True])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"vocabulary": OTHER}, r"data_dir = 'text/tiny': was made with another tokenizer, other"),
        ({"seed": 2}, r"data_dir = 'text/tiny': was made anew since step 8: its text is not what"),
        ({"val_seed": 8}, r"its validation text is not what this run has learned"),
        ({"lengths": [2000, 2000]}, r"4,900 training tokens then, 4,000 now"),
        ({"lengths": [2000, 900, 2000]}, r"was made anew since step 8"),
    ],
    ids=["tokenizer", "text", "validation", "shorter", "cut otherwise"],
)
def test_another_dataset_under_the_same_name_is_refused_even_with_override(
    workspace: Workspace, change: dict[str, Any], said: str, override: bool
) -> None:
    write(workspace, **{"lengths": LENGTHS} | change)
    directory = workspace.directory("pretrain", "tiny")
    before = (directory / "config.toml").read_bytes(), runner.status(directory)
    with pytest.raises(InputError, match=said):
        resumed(workspace, override=override)
    # Nothing has been changed by the attempt, and the right dataset is gone on with.
    assert ((directory / "config.toml").read_bytes(), runner.status(directory)) == before
    write(workspace, LENGTHS)
    assert isinstance(resumed(workspace)[-1], Finished)


def test_another_tokenizer_under_another_name_is_refused_even_with_override(
    workspace: Workspace,
) -> None:
    smaller = Vocabulary(
        name="smaller",
        pattern=VOCABULARY.pattern,
        ranks={bytes([i]): i for i in range(256)},
        special_tokens={"<|endoftext|>": 258},
    )
    write(workspace, LENGTHS, vocabulary=smaller, name="text/smaller")
    with pytest.raises(InputError, match=r"data_dir = 'text/smaller': was made with another token"):
        resumed(workspace, override=True, data_dir="text/smaller")


def test_another_dataset_of_the_same_tokenizer_is_somebodys_choice(workspace: Workspace) -> None:
    write(workspace, LENGTHS, seed=5, name="text/second")
    with pytest.raises(InputError, match="override"):
        resumed(workspace, data_dir="text/second")
    events = resumed(workspace, override=True, data_dir="text/second")
    assert isinstance(events[-1], Finished)
    found = checkpoint.find(workspace.directory("pretrain", "tiny"))
    second = DataIdentity.of(Manifest.load(workspace.directory("data", "text/second")))
    assert DataIdentity.from_state(found.state) == second


@pytest.mark.parametrize("longer", [[2000, 2000, 2000, 500], [2000, 2000, 900, 2000]])
def test_a_dataset_that_was_made_longer_is_told_and_the_run_is_as_it_would_have_been(
    workspace: Workspace, tmp_path: Path, longer: list[int]
) -> None:
    shutil.copytree(workspace.root, tmp_path / "same")
    same = Workspace(tmp_path / "same")
    resumed(same)
    write(workspace, longer)
    events = resumed(workspace)
    (notice,) = [event for event in events if isinstance(event, Notice)]
    total = sum(longer)
    assert notice.message.startswith(
        f"text/tiny has become longer since this run began, 4,900 to {total:,} tokens; the run"
    )
    assert_equal(tensors(workspace), tensors(same))
    # And once more, from a checkpoint that was written meanwhile.
    again = checkpoint.find(workspace.directory("pretrain", "tiny"))
    before = DataIdentity.from_state(again.state)
    assert before is not None
    assert before.train_tokens == 4900
    assert again.state["loader"]["tokens"] == 4900


def test_a_filled_up_shard_that_does_not_begin_as_before_is_other_text(
    workspace: Workspace,
) -> None:
    directory = write(workspace, [2000, 2000, 2000])
    ids = np.load(directory / "train_000003.npy")
    ids[5] = 98 if ids[5] == 97 else 97
    np.save(directory / "train_000003.npy", ids)
    manifest = json.loads((directory / "manifest.json").read_text())
    manifest["shards"][2]["sha256"] = hashlib.sha256(
        (directory / "train_000003.npy").read_bytes()
    ).hexdigest()
    (directory / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match="was made anew since step 8"):
        resumed(workspace)


def test_a_checkpoint_of_an_earlier_talm_goes_on_with_its_tokenizer(workspace: Workspace) -> None:
    directory = workspace.directory("pretrain", "tiny")
    for _, path in checkpoint.checkpoints(directory):
        index = json.loads((path / "checkpoint.json").read_text())
        del index["state"]["data"], index["checksum"]
        sealed = hashlib.sha256(json.dumps(index, sort_keys=True).encode()).hexdigest()
        (path / "checkpoint.json").write_text(json.dumps(index | {"checksum": sealed}))
    write(workspace, LENGTHS, vocabulary=OTHER)
    with pytest.raises(InputError, match="another tokenizer"):
        resumed(workspace)
    write(workspace, LENGTHS)
    assert isinstance(resumed(workspace)[-1], Finished)
    assert DataIdentity.from_state(checkpoint.find(directory).state) is not None


def test_the_windows_of_a_part_are_those_of_a_dataset_that_ends_there(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    short = write(workspace, LENGTHS, name="text/short")
    long = write(workspace, [2000, 2000, 2000, 700], name="text/long")

    def loader(directory: Path) -> TokenLoader:
        return TokenLoader(directory, "train", batch_size=3, context_len=32, seed=3)

    whole, part = loader(short), loader(long)
    part.load_state({"epoch": 0, "index": 6, "tokens": 4900})
    whole.load_state({"epoch": 0, "index": 6})
    assert part.windows == whole.windows
    for _ in range(120):
        assert (part.next_batch() == whole.next_batch()).all()
    assert part.state == whole.state | {"tokens": 4900}
    with pytest.raises(ArtifactError, match="has fewer than the 9,999 tokens"):
        part.load_state({"epoch": 0, "index": 0, "tokens": 9999})


# --- as many steps as are allowed ------------------------------------------------------------


@pytest.mark.parametrize("most", [8, 5])
def test_a_run_that_has_all_its_steps_takes_none_more(workspace: Workspace, most: int) -> None:
    directory = workspace.directory("pretrain", "tiny")
    path = checkpoint.find(directory).path
    assert path is not None
    before = tensors(workspace)
    changed = {"eval_every": 5, "warmup_steps": 2, "max_steps": most}
    events = resumed(workspace, override=True, **changed)
    assert isinstance(events[-1], Finished)
    assert events[-1].summary["step"] == 8
    assert [event.step for event in events if isinstance(event, Metrics)] in ([], [8])
    assert next(event for event in events if isinstance(event, Started)).resumed_from == 8
    assert checkpoint.find(directory).path == path
    assert_equal(tensors(workspace), before)
    assert runner.status(directory) is runner.Status.DONE
    # It is judged as any run is at its end.
    assert "val_loss" in events[-1].summary
