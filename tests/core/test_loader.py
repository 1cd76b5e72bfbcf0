from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from talm_core.data.dataloader import Permutation, TokenLoader, Windows, eval_batches
from talm_core.data.manifest import Manifest, Split, TokenizerInfo
from talm_core.data.shards import ShardWriter, dtype_for
from talm_core.errors import ArtifactError, ConfigError

VOCAB = 60_000


def dataset(directory: Path, train: list[int], val: int = 40, *, n_vocab: int = VOCAB) -> Path:
    """A dataset whose train shards have these lengths and hold 0, 1, 2 … over all of them."""
    directory.mkdir(exist_ok=True)
    splits: list[tuple[Split, list[int]]] = [("val", [val]), ("train", train)]
    shards = []
    dtype = dtype_for(n_vocab)
    for split, lengths in splits:
        ids = iter(np.split(np.arange(sum(lengths)), np.cumsum(lengths)[:-1]))
        for number, length in enumerate(lengths, 1):
            with ShardWriter(
                directory,
                iter([(split, number)]),
                shard_size=max(1, length),
                token_bytes=np.ones(n_vocab, np.int64),
                end_of_text=0,
                dtype=dtype,
            ) as writer:
                writer.write(next(ids).astype(np.uint32))
            shards += writer.shards
    tokenizer = TokenizerInfo(name="t", identity="sha256:0", n_vocab=n_vocab)
    Manifest(source="text", sample="x", tokenizer=tokenizer, dtype=dtype, shards=shards).save(
        directory
    )
    return directory


def expected_windows(lengths: list[int], context_len: int) -> list[tuple[int, ...]]:
    """Every window by its first definition: stride context_len inside each shard."""
    found = []
    base = 0
    for length in lengths:
        starts = range(base, base + length - context_len, context_len)
        found += [tuple(range(start, start + context_len + 1)) for start in starts]
        base += length
    return found


# --- the permutation -------------------------------------------------------------------------


@given(st.integers(1, 3000), st.integers(0, 2**63 - 1), st.integers(0, 2**40))
def test_a_permutation_has_every_number_once(size: int, seed: int, epoch: int) -> None:
    order = Permutation(size, seed=seed, epoch=epoch)
    found = order(np.arange(size))
    assert sorted(found.tolist()) == list(range(size))
    # Asked one at a time, in any shape, it says the same.
    assert order(np.array([[size - 1, 0]])).tolist() == [[found[-1], found[0]]]


def test_the_order_is_fixed_over_versions() -> None:
    assert Permutation(10, seed=1337)(np.arange(10)).tolist() == [1, 2, 9, 3, 4, 7, 6, 5, 0, 8]
    large = Permutation(10**12, seed=1, epoch=2)(np.arange(3))
    assert large.tolist() == [984686769668, 253381270446, 738459057007]


def test_orders_differ_by_seed_and_epoch() -> None:
    orders = {
        tuple(Permutation(50, seed=seed, epoch=epoch)(np.arange(50)).tolist())
        for seed in range(20)
        for epoch in range(20)
    }
    assert len(orders) == 400


@pytest.mark.parametrize("size", [7, 97, 1000])
def test_each_place_holds_each_number_equally_often(size: int) -> None:
    trials = 4000
    places = np.array([0, size // 2, size - 1])
    found = np.array([Permutation(size, seed=seed)(places) for seed in range(trials)])
    buckets = min(size, 20)
    for column in found.T:
        counts = np.bincount(column * buckets // size, minlength=buckets)
        shares = np.bincount(np.arange(size) * buckets // size, minlength=buckets) / size
        chi_square = float(((counts - trials * shares) ** 2 / (trials * shares)).sum())
        # 19 degrees of freedom: 43.8 is exceeded once in a thousand times.
        assert chi_square < 43.8


def test_neighbours_do_not_stay_neighbours() -> None:
    found = Permutation(100_000, seed=3)(np.arange(100_000))
    assert abs(np.corrcoef(found[:-1], found[1:])[0, 1]) < 0.02
    assert abs(np.corrcoef(np.arange(100_000), found)[0, 1]) < 0.02
    # Of a random order's differences, about one in a hundred thousand is a given number.
    commonest = Counter(np.diff(found).tolist()).most_common(1)[0][1]
    assert commonest < 20


# --- the loader ------------------------------------------------------------------------------


@dataclass
class Case:
    """A drawn dataset and the ranks that read it."""

    windows: list[tuple[int, ...]]
    together: int
    loaders: Callable[..., list[TokenLoader]]


@st.composite
def cases(draw: st.DrawFn, directories: pytest.TempPathFactory) -> Case:
    lengths = draw(st.lists(st.integers(1, 200), min_size=1, max_size=4))
    context_len = draw(st.integers(1, 20))
    windows = expected_windows(lengths, context_len)
    assume(windows)
    batch_size = draw(st.integers(1, min(9, len(windows))))
    world_size = draw(st.integers(1, min(4, len(windows) // batch_size)))
    seed = draw(st.integers(0, 2**63 - 1))
    directory = dataset(directories.mktemp("d"), lengths)

    def loaders(batch_size: int = batch_size, world_size: int = world_size) -> list[TokenLoader]:
        arguments = {"batch_size": batch_size, "context_len": context_len, "seed": seed}
        return [
            TokenLoader(directory, "train", **arguments, rank=rank, world_size=world_size)
            for rank in range(world_size)
        ]

    return Case(windows, batch_size * world_size, loaders)


def read_together(ranks: list[TokenLoader], batches: int) -> list[tuple[int, ...]]:
    """The windows of all ranks in order."""
    seen: list[tuple[int, ...]] = []
    for _, rank in itertools.product(range(batches), ranks):
        found = rank.next_batch()
        assert found.dtype == np.int64
        seen += map(tuple, found.tolist())
    return seen


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_window_comes_once_an_epoch_on_one_rank(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    case = data.draw(cases(tmp_path_factory))
    ranks = case.loaders()
    assert {rank.windows for rank in ranks} == {len(case.windows)}
    epoch, together = len(case.windows), case.together
    seen = read_together(ranks, -(-3 * epoch // together))
    for start in range(0, 3 * epoch, epoch):
        assert sorted(seen[start : start + epoch]) == sorted(case.windows)
    assert ranks[0].epoch_progress == pytest.approx(len(seen) / epoch)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_order_is_the_same_however_it_is_shared(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    case = data.draw(cases(tmp_path_factory))
    batches = data.draw(st.integers(0, 3 * len(case.windows) // case.together))
    ranks = case.loaders()
    seen = read_together(ranks, batches)
    (single,) = case.loaders(batch_size=1, world_size=1)
    assert read_together([single], len(seen)) == seen
    assert single.state == ranks[0].state


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_same_batches_come_after_a_break(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    case = data.draw(cases(tmp_path_factory))
    ranks = case.loaders()
    stop = data.draw(st.integers(0, 2 * len(case.windows)))
    for _, rank in itertools.product(range(stop), ranks):
        rank.next_batch()
    states = [rank.state for rank in ranks]
    assert states == states[:1] * len(ranks)
    epoch, index = divmod(stop * case.together, len(case.windows))
    assert states[0] == {"epoch": epoch, "index": index}
    for old, new in zip(ranks, case.loaders(), strict=True):
        if stop % 2:
            new.load_state(states[0])
        else:
            new.skip(stop)
        for _ in range(len(case.windows)):
            assert np.array_equal(new.next_batch(), old.next_batch())
            assert new.state == old.state


def test_wide_vocabularies_are_read_as_they_were_written(tmp_path: Path) -> None:
    directory = dataset(tmp_path / "d", [70_000], n_vocab=70_001)
    loader = TokenLoader(directory, "train", batch_size=1, context_len=69_999, seed=1)
    assert np.array_equal(loader.next_batch()[0], np.arange(70_000))


def test_a_batch_may_be_changed_without_changing_the_dataset(tmp_path: Path) -> None:
    directory = dataset(tmp_path / "d", [11])
    loader = TokenLoader(directory, "train", batch_size=1, context_len=10, seed=1)
    loader.next_batch()[:] = 7
    assert loader.next_batch().tolist() == [list(range(11))]


@pytest.mark.parametrize(
    "state",
    [
        {"epoch": 0, "index": 10},
        {"epoch": -1, "index": 0},
        {"epoch": 0, "index": -4},
        {"epoch": 0.0, "index": 0},
        {"epoch": 0, "index": True},
        {"epoch": 0},
        {},
    ],
)
def test_a_place_that_does_not_exist_is_refused(tmp_path: Path, state: dict[str, int]) -> None:
    directory = dataset(tmp_path / "d", [101])
    loader = TokenLoader(directory, "train", batch_size=4, context_len=10, seed=1)
    with pytest.raises(ArtifactError, match="fits no dataset of 10 windows"):
        loader.load_state(state)


def test_too_few_windows_for_all_processes_say_how_many_would_do(tmp_path: Path) -> None:
    directory = dataset(tmp_path / "d", [101])
    with pytest.raises(ConfigError, match=r"10 windows of 10 tokens for 3 processes.*at most 3"):
        TokenLoader(directory, "train", batch_size=4, context_len=10, seed=1, rank=2, world_size=3)


# --- damage ----------------------------------------------------------------------------------


def open_train(directory: Path) -> TokenLoader:
    return TokenLoader(directory, "train", batch_size=1, context_len=10, seed=1)


def test_damaged_shards_are_refused_by_name(tmp_path: Path) -> None:
    directory = dataset(tmp_path / "d", [100, 50])
    path = directory / "train_000002.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:-2])
    with pytest.raises(ArtifactError, match=r"train_000002\.npy: is damaged"):
        open_train(directory)
    path.write_bytes(whole[:-1] + b"\xff")
    with pytest.raises(ArtifactError, match=r"train_000002\.npy: is damaged: its checksum"):
        open_train(directory)
    np.save(path, np.arange(50, dtype=np.int64))
    with pytest.raises(ArtifactError, match=r"train_000002\.npy: holds \(50,\) ids of int64"):
        open_train(directory)
    np.save(path, np.array([{}] * 50, dtype=object), allow_pickle=True)
    with pytest.raises(ArtifactError, match=r"train_000002\.npy: is damaged"):
        open_train(directory)
    path.unlink()
    with pytest.raises(ArtifactError, match=r"train_000002\.npy: is missing"):
        open_train(directory)


# --- evaluation ------------------------------------------------------------------------------


def test_a_split_without_a_window_is_refused(tmp_path: Path) -> None:
    directory = dataset(tmp_path / "d", [10, 7], 3)
    with pytest.raises(ArtifactError, match="train part has 10 tokens, a window takes 11"):
        open_train(directory)
    with pytest.raises(ArtifactError, match="val part has 3 tokens, a window takes 11"):
        Windows(directory, "val", context_len=10)


@settings(max_examples=60, deadline=None)
@given(
    val=st.integers(11, 400),
    tokens=st.integers(1, 500),
    batch_size=st.integers(1, 9),
    context_len=st.integers(1, 10),
)
def test_evaluation_reads_the_same_spread_windows_whatever_the_batch(
    tmp_path_factory: pytest.TempPathFactory,
    val: int,
    tokens: int,
    batch_size: int,
    context_len: int,
) -> None:
    directory = dataset(tmp_path_factory.mktemp("d"), [10], val)

    def read(size: int) -> list[list[int]]:
        split = Windows(directory, "val", context_len=context_len)
        batches = eval_batches(split, tokens=tokens, batch_size=size)
        return [row for batch in batches for row in batch.tolist()]

    rows = read(batch_size)
    assert rows == read(1)
    windows = expected_windows([val], context_len)
    assert len(rows) == min(len(windows), max(1, tokens // context_len))
    assert set(map(tuple, rows)) <= set(windows)
    numbers = [row[0] // context_len for row in rows]
    assert numbers == sorted(set(numbers))
    gaps = np.diff([*numbers, numbers[0] + len(windows)])
    assert gaps.max() - gaps.min() <= 1 or len(rows) == 1


def test_evaluation_takes_everything_when_it_is_little(tmp_path: Path) -> None:
    directory = dataset(tmp_path / "d", [10], 41)
    split = Windows(directory, "val", context_len=10)
    sizes = [len(b) for b in eval_batches(split, tokens=10**9, batch_size=3)]
    assert sizes == [3, 1]
