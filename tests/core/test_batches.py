"""Batches read ahead are the loader's own, whatever is done in between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from talm_core.data.dataloader import TokenLoader
from talm_core.errors import ArtifactError, Problem
from talm_core.training.batches import AHEAD, Batches
from tests.core.test_loader import dataset

CPU = torch.device("cpu")


def loader(directory: Path, batch_size: int = 2) -> TokenLoader:
    return TokenLoader(directory, "train", batch_size=batch_size, context_len=3, seed=5)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dataset(tmp_path_factory.mktemp("d") / "d", [40, 31])


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("next"), st.integers(1, 9)),
        st.tuples(st.just("skip"), st.integers(0, 30)),
        st.tuples(st.just("divide"), st.sampled_from([1, 2, 4])),
        st.tuples(st.just("resume"), st.just(0)),
        st.tuples(st.just("back"), st.just(0)),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, ahead=st.integers(0, 6))
def test_reading_ahead_does_not_show(
    directory: Path, steps: list[tuple[str, int]], ahead: int
) -> None:
    plain, read = loader(directory), Batches(loader(directory), CPU, ahead=ahead)
    assert read.windows == plain.windows
    before = plain.state
    for kind, number in steps:
        match kind:
            case "next":
                for _ in range(number):
                    expected = plain.next_batch()
                    found = read.next_batch()
                    assert found.dtype == torch.int64
                    assert np.array_equal(found.numpy(), expected)
            case "skip":
                plain.skip(number)
                read.skip(number)
            case "divide":
                plain.divide(number)
                read.divide(number)
            case "resume":
                # A process that ended and another that goes on from what the first one said.
                state = read.state
                size = plain.next_batch().shape[0]
                plain.load_state(state)
                read = Batches(loader(directory, size), CPU, ahead=ahead)
                read.load_state(state)
            case "back":
                plain.load_state(before)
                read.load_state(before)
        assert read.state == plain.state
        assert read.epoch_progress == plain.epoch_progress


def test_nothing_is_read_ahead_on_a_cpu(directory: Path) -> None:
    for ahead, expected in ((None, 0), (AHEAD, AHEAD)):
        source = loader(directory)
        read = Batches(source, CPU, ahead=ahead)
        read.next_batch()
        # What waits is done before a look at the loader itself.
        for future in read._waiting:
            future.result()
        assert source.state["index"] == 2 * (1 + expected)
        assert read.state == {"epoch": 0, "index": 2}


def test_what_fails_while_reading_ahead_is_raised_where_it_is_wanted(directory: Path) -> None:
    source = loader(directory)
    read = Batches(source, CPU, ahead=2)
    read.next_batch()
    for future in read._waiting:
        future.result()

    def fail() -> None:
        raise ArtifactError(Problem("shard", "is gone"))

    source.next_batch = fail  # type: ignore[method-assign, assignment]
    for _ in range(2):
        read.next_batch()
    with pytest.raises(ArtifactError, match="is gone"):
        read.next_batch()
    with pytest.raises(ArtifactError):
        read.load_state({"epoch": -1, "index": 0})
