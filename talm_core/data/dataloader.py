"""Batches for training: windows of the whole dataset in a seeded random order.

Every shard is cut into windows of `context_len + 1` tokens that overlap by one, so that each
token but a shard's first is predicted once. An epoch visits all windows of all shards in a
permutation that is computed and not stored: it needs no memory however large the dataset, and
where it stands is two numbers. One epoch follows the other without a seam, so that no window is
left out, and the order is the same however it is cut into batches and shared among processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from talm_core.data.manifest import Manifest
from talm_core.data.shards import Tokens, check_shards, maps_at_once, open_shard, require_shard
from talm_core.errors import ArtifactError, ConfigError, Problem

Batch = npt.NDArray[np.int64]
_Words = npt.NDArray[np.uint64]

# Datasets up to this size are compared with their checksums before they are used: it takes less
# than a tenth of a second. Larger ones are checked by the length of their files.
_CHECKED_TOKENS = 32_000_000
_BLOCK = 4096
_ROUNDS = 6

# The golden ratio's fraction of 2^64, splitmix64's step.
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Permutation:
    """A random order of the numbers below `size`, without a table.

    A generalised Feistel network (Black and Rogaway, "Ciphers with Arbitrary Finite Domains",
    2002) on a rectangle of a x b >= size cells: each round adds to one coordinate a hash of the
    other, which can be undone and therefore is a permutation. Numbers that land outside `size`
    are sent through again until they are inside, which a permutation allows; as the rectangle is
    larger by at most two of its sides, hardly any need to.
    """

    def __init__(self, size: int, *, seed: int, epoch: int = 0) -> None:
        self.size = size
        self._width = max(1, int(np.ceil(np.sqrt(size))))
        self._height = -(-size // self._width)
        start = _mixed(np.array([seed % 2**64], np.uint64) ^ _mixed(np.array([epoch], np.uint64)))
        self._keys = _mixed(start + np.arange(1, _ROUNDS + 1, dtype=np.uint64) * _GOLDEN)

    def __call__(self, index: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The numbers at these places of the order."""
        found = self._pass(index.ravel().astype(np.uint64))
        outside = np.flatnonzero(found >= self.size)
        while len(outside):
            found[outside] = self._pass(found[outside])
            outside = outside[found[outside] >= self.size]
        return found.astype(np.int64).reshape(index.shape)

    def _pass(self, cell: _Words) -> _Words:
        width, height = np.uint64(self._width), np.uint64(self._height)
        row, column = cell // width, cell % width
        for number, key in enumerate(self._keys):
            if number % 2:
                column = (column + _mixed(row ^ key) % width) % width
            else:
                row = (row + _mixed(column ^ key) % height) % height
        return row * width + column


def _mixed(words: _Words) -> _Words:
    """Well-scrambled 64-bit words: the finaliser of splitmix64 (Steele, Lea and Flood, "Fast
    Splittable Pseudorandom Number Generators", 2014). Products wrap around."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


class Windows:
    """A split's windows of `context_len + 1` tokens, numbered over all its shards. Where
    there are more shards than the process may hold open, those that were read longest ago are
    unmapped for others. For one thread at a time."""

    def __init__(self, directory: Path, split: str, *, context_len: int) -> None:
        """Open the split's shards.

        Raises:
            ArtifactError: the dataset is damaged, from a newer talm, or shorter than one window.
            RunError: the system cannot read a shard now.
        """
        manifest = Manifest.load(directory)
        shards = manifest.of(split)
        self._directory, self._shards, self._dtype = directory, shards, manifest.dtype
        self.context_len = context_len
        self._most = maps_at_once(len(shards))
        # Overlapping rows over each mapped shard, by its number, the one read last at the end.
        # As many as may be are mapped now: what is mapped stays readable, whatever comes.
        self._rows: dict[int, Tokens] = {}
        for number, shard in enumerate(shards):
            if number < self._most:
                self._rows_of(number)
            else:
                require_shard(directory, shard, dtype=manifest.dtype)
        if sum(shard.tokens for shard in shards) <= _CHECKED_TOKENS:
            check_shards(directory, shards)
        self.tokens = sum(shard.tokens for shard in shards)
        self._count([shard.tokens for shard in shards])
        if not self.count:
            longest = max((shard.tokens for shard in shards), default=0)
            message = f"its {split} part has {longest:,} tokens, a window takes {context_len + 1:,}"
            hint = "use more text or a shorter context"
            raise ArtifactError(Problem(str(directory), message, hint=hint))

    def limit(self, tokens: int) -> None:
        """Go on with the first `tokens` tokens alone: the windows are those, and in the numbers,
        that a dataset has which ends there.

        Raises:
            ArtifactError: there are fewer.
        """
        if tokens > sum(shard.tokens for shard in self._shards):
            message = f"has fewer than the {tokens:,} tokens the run began with"
            raise ArtifactError(Problem(str(self._directory), message))
        left, used = tokens, []
        for shard in self._shards:
            used.append(min(left, shard.tokens))
            left -= used[-1]
        self.tokens = tokens
        self._count(used)

    def _count(self, tokens: list[int]) -> None:
        """Number the windows of so many tokens of each shard."""
        counts = [max(0, length - 1) // self.context_len for length in tokens]
        self._ends = np.cumsum(counts)
        self._starts = self._ends - counts
        self.count = int(self._ends[-1]) if counts else 0

    def read(self, numbers: npt.NDArray[np.int64]) -> Batch:
        """The windows of these numbers: (len(numbers), context_len + 1)."""
        if len(self._shards) == 1:
            # A batch from one shard is a single gather.
            return self._rows_of(0)[numbers].astype(np.int64)
        found = np.empty((len(numbers), self.context_len + 1), np.int64)
        shards = np.searchsorted(self._ends, numbers, side="right")
        inside = numbers - self._starts[shards]
        for place, (shard, row) in enumerate(zip(shards.tolist(), inside.tolist(), strict=True)):
            found[place] = self._rows_of(shard)[row]
        return found

    def _rows_of(self, shard: int) -> Tokens:
        rows = self._rows.pop(shard, None)
        if rows is None:
            if len(self._rows) >= self._most:
                del self._rows[next(iter(self._rows))]
            tokens = open_shard(self._directory, self._shards[shard], dtype=self._dtype)
            rows = _rows(tokens, self.context_len)
        self._rows[shard] = rows
        return rows


def _rows(tokens: Tokens, context_len: int) -> Tokens:
    count = max(0, len(tokens) - 1) // context_len
    step = tokens.itemsize
    shape, strides = (count, context_len + 1), (context_len * step, step)
    return np.lib.stride_tricks.as_strided(tokens, shape, strides, writeable=False)


class TokenLoader:
    """Batches of one rank. With the same seed, `world_size` loaders of different ranks together
    visit each window exactly once an epoch; a batch may begin in one epoch and end in the next."""

    def __init__(
        self,
        directory: Path,
        split: str,
        *,
        batch_size: int,
        context_len: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """Open a split for reading.

        Raises:
            ArtifactError: the dataset is damaged, from a newer talm, or shorter than one window.
            ConfigError: it has fewer windows than one batch on every rank takes.
        """
        assert 0 <= rank < world_size
        self._windows = Windows(directory, split, context_len=context_len)
        self._limited = False
        self._context_len, self._world_size = context_len, world_size
        self._batch_size = batch_size
        self._first = rank * batch_size
        self._step = batch_size * world_size
        self._seed = seed
        self._epoch = self._index = 0
        self._measure()
        self._go_to(0, 0)

    def _measure(self) -> None:
        """Count the windows; there must be enough for one batch on every rank."""
        self.windows = self._windows.count
        context_len, world_size, batch_size = self._context_len, self._world_size, self._batch_size
        if self.windows < self._step:
            message = f"the dataset has {self.windows:,} windows of {context_len} tokens"
            if world_size > 1:
                message += f" for {world_size} processes"
            most = self.windows // world_size
            hint = f"at most {most:,}" if most else "use more text or a shorter context"
            raise ConfigError(Problem("batch_size", message, batch_size, hint))

    def next_batch(self) -> Batch:
        """The next windows, (batch_size, context_len + 1)."""
        if self._place == len(self._ahead):
            self._look_ahead()
        numbers = self._ahead[self._place]
        self._place += 1
        self._index += self._step
        if self._index >= self.windows:
            self._epoch, self._index = self._epoch + 1, self._index - self.windows
        return self._windows.read(numbers)

    def divide(self, batch_size: int) -> None:
        """Go on from here with batches of another size."""
        self._first = self._first // self._batch_size * batch_size
        self._step = self._step // self._batch_size * batch_size
        self._batch_size = batch_size
        self._go_to(self._epoch, self._index)

    def skip(self, batches: int) -> None:
        """Go past so many batches on every rank, without reading them."""
        epochs, index = divmod(self._index + batches * self._step, self.windows)
        self._go_to(self._epoch + epochs, index)

    @property
    def state(self) -> dict[str, int]:
        """Where the loader stands, the same on every rank: finished epochs, and windows that all
        ranks together have taken in this one; and of how many `tokens` at the beginning of the
        dataset, where those are not all."""
        place = {"epoch": self._epoch, "index": self._index}
        return place | ({"tokens": self._windows.tokens} if self._limited else {})

    def load_state(self, state: dict[str, int]) -> None:
        """Go on from a `state` of a loader with the same dataset, seed and context length; batches
        and processes may be others.

        Raises:
            ArtifactError: no such place exists here.
            ConfigError: the part of the dataset is smaller than a batch.
        """
        if (tokens := state.get("tokens")) is not None:
            self._windows.limit(tokens)
            self._limited = True
            self._measure()
        epoch, index = state.get("epoch"), state.get("index")
        if (
            type(epoch) is not int
            or type(index) is not int
            or not 0 <= epoch < 2**63
            or not 0 <= index < self.windows
        ):
            message = f"fits no dataset of {self.windows:,} windows"
            raise ArtifactError(Problem("loader state", message, state))
        self._go_to(epoch, index)

    @property
    def epoch_progress(self) -> float:
        """Epochs so far, with the part of this one."""
        return self._epoch + self._index / self.windows

    def _go_to(self, epoch: int, index: int) -> None:
        self._epoch, self._index = epoch, index
        self._ahead: npt.NDArray[np.int64] = np.empty((0, self._batch_size), np.int64)
        self._place = 0

    def _look_ahead(self) -> None:
        """Many batches' numbers at once: one is no cheaper. The last one may reach into the next
        epoch."""
        end = self._index + max(1, _BLOCK // self._batch_size) * self._step
        starts = np.arange(self._index, min(end, self.windows), self._step) + self._first
        places = starts[:, None] + np.arange(self._batch_size)
        self._ahead = self._order(self._epoch)(places % self.windows)
        later = places >= self.windows
        if later.any():
            self._ahead[later] = self._order(self._epoch + 1)(places[later] - self.windows)
        self._place = 0

    def _order(self, epoch: int) -> Permutation:
        return Permutation(self.windows, seed=self._seed, epoch=epoch)


def eval_batches(windows: Windows, *, tokens: int, batch_size: int) -> Iterator[Batch]:
    """The windows an evaluation reads: about `tokens` targets, evenly spread over the validation
    split, always the same ones whatever the batch size. The last batch may be smaller."""
    count = min(windows.count, max(1, tokens // windows.context_len))
    numbers = (2 * np.arange(count) + 1) * windows.count // (2 * count)
    for start in range(0, count, batch_size):
        yield windows.read(numbers[start : start + batch_size])
