"""Which part of a text is kept for validation."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talm_core.data import split as data_split
from talm_core.data.division import Division, LastDocuments, expected_validation, share
from talm_core.data.local.corpus import divided_parts, open_corpus

MEGABYTE = 1_000_000


def kept(sizes: list[int], fraction: float, **options: int) -> list[int]:
    """How much of each document is for validation."""
    rule = Division(len(sizes), sum(sizes), fraction, **options)
    cuts = [rule.cut(size) for size in sizes]
    return [0 if cut is None else size - cut for size, cut in zip(sizes, cuts, strict=True)]


def test_long_documents_give_their_end() -> None:
    assert kept([3_300_000] * 4 + [6_000], 0.1) == [330_000] * 4 + [600]
    assert kept([1_115_394], 0.1) == [111_539]
    assert kept([1], 0.1) == [1]  # which leaves nothing to train on


def test_short_documents_stay_whole_and_are_spread_evenly() -> None:
    found = kept([1_000] * 1_000, 0.1)
    assert set(found) == {0, 1_000}
    assert [at for at, size in enumerate(found) if size] == list(range(4, 1_000, 10))
    assert kept([12] * 10, 0.1) == [0, 0, 0, 0, 12, 0, 0, 0, 0, 0]
    assert kept([1, 1, 1], 0.1) == [0, 0, 1]


def test_of_many_documents_only_the_long_ones_are_divided() -> None:
    sizes = [5_000] * 500 + [2_000_000] + [5_000] * 500
    found = kept(sizes, 0.1)
    assert 195_000 <= found[500] <= 205_000
    assert {size for size in found if size != found[500]} == {0, 5_000}
    assert sum(found) == 700_000


@given(
    sizes=st.lists(st.one_of(st.integers(0, 100), st.integers(2_000, 10**7)), min_size=1),
    fraction=st.floats(0.01, 0.5),
)
def test_what_is_kept_is_near_what_was_asked_for(sizes: list[int], fraction: float) -> None:
    wanted = fraction * sum(sizes)
    found = kept(sizes, fraction)
    assert all(0 <= part <= size for part, size in zip(found, sizes, strict=True))
    if sum(sizes) > 100_000:
        assert abs(sum(found) - wanted) <= max(1_000, wanted / 10) + 1
        assert sum(found) < sum(sizes)
    if sizes[-1] or sum(sizes) > 100_000:
        assert any(found)
    if sum(size > 1 for size in sizes) > 1:
        assert found != sizes


def test_documents_of_the_hub_are_divided_where_the_last_are_not_what_was_asked_for() -> None:
    rows = [np.array([9, *[1] * (size - 1)], np.uint16) for size in (4_000, 4_000, 4_000, 30)]
    stream = np.concatenate(rows)
    assert data_split.held_out([stream], 9, 0.1, version=1) == [(12_000, 12_030)]
    found = data_split.held_out([stream], 9, 0.1, version=2)
    assert found == [(3_600, 4_000), (7_600, 8_000), (11_600, 12_000)]
    val, train = (np.concatenate(list(side)) for side in data_split.divided([stream], found, 9))
    # The first may go on in the middle of a document; what follows it must not seem to.
    assert np.flatnonzero(val == 9).tolist() == [400, 800]
    assert np.flatnonzero(train == 9).tolist() == [0, 3_600, 7_200, 10_800]
    assert (len(val), len(train)) == (1_200, 10_830)
    many = np.concatenate([rows[3]] * 500)
    assert data_split.held_out([many], 9, 0.1, version=2) == [
        (at * 30, at * 30 + 30) for at in range(450, 500)
    ]


@given(st.integers(2, 500), st.floats(0.001, 0.5))
def test_the_first_rule_keeps_the_last_documents(count: int, fraction: float) -> None:
    rule = LastDocuments(count, fraction)
    found = [rule.cut(7) for _ in range(count)]
    last = min(max(1, round(count * fraction)), count - 1)
    assert found == [None] * (count - last) + [0] * last
    assert not rule.in_characters


@given(st.integers(2, 300), st.floats(0.001, 0.5))
def test_the_first_rule_cuts_a_single_document_in_characters(size: int, fraction: float) -> None:
    rule = LastDocuments(1, fraction)
    assert rule.in_characters
    assert rule.cut(size) == max(1, size - max(1, round(size * fraction)))


def test_validation_is_no_larger_than_any_run_looks_at() -> None:
    assert share(4_000_000_000, 0.1) == 0.1
    assert share(40_000_000_000, 0.1) == 0.01
    assert share(0, 0.3) == 0.3


@pytest.mark.parametrize(
    ("tokens", "hub", "val_tokens", "expected"),
    [
        (5_000, False, None, 500),
        (5_000, True, None, 1_000),
        (1_999, True, None, 199.9),
        (5_000, False, 70, 70),
        (50, True, 70, 50),
    ],
)
def test_the_forecast_is_what_happens(
    tokens: int, hub: bool, val_tokens: int | None, expected: float
) -> None:
    found = expected_validation(
        tokens, 4 * tokens, hub=hub, val_fraction=0.1, val_tokens=val_tokens, shard_size=1_000
    )
    assert found == pytest.approx(expected)


# --- of files --------------------------------------------------------------------------------


def divided(path: Path, fraction: float) -> tuple[list[str], list[str]]:
    """The documents for training and those for validation."""
    corpus = open_corpus("text", paths=[str(path)])
    sides: tuple[list[str], list[str]] = ([], [])
    for begins, text, held_out in divided_parts(corpus, fraction):
        if begins:
            sides[held_out].append("")
        sides[held_out][-1] += text
    return sides


def test_every_file_has_its_part_in_validation(tmp_path: Path) -> None:
    texts = {}
    for name in "abcd":
        texts[name] = "".join(f"{name} line {number}\n" for number in range(20_000))
        (tmp_path / f"{name}.txt").write_text(texts[name])
    texts["readme"] = "r" * 6_000
    (tmp_path / "readme").write_text(texts["readme"])
    train, val = divided(tmp_path, 0.1)
    for whole, first, last in zip(texts.values(), train, val, strict=True):
        assert first + last == whole
        assert abs(len(last) - len(whole) / 10) <= 1


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_a_text_is_cut_between_characters(
    suffix: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "é1😀2€3456789" * 3
    data = b"\xef\xbb\xbf" + text.encode()
    (tmp_path / f"one.md{suffix}").write_bytes(gzip.compress(data) if suffix else data)
    monkeypatch.setattr("talm_core.data.local.document_file.PART_BYTES", size)
    length = len(text.encode())
    for percent in range(1, 51):
        cut = length - max(1, round(percent / 100 * length))
        (train,), *others = divided(tmp_path / f"one.md{suffix}", percent / 100)
        val = others[0][0] if others[0] else ""
        assert train + val == text
        assert 0 <= len(train.encode()) - cut < 4


def test_rows_are_whole_and_from_all_over_the_file(tmp_path: Path) -> None:
    source = random.Random(1)
    texts = ["x" * source.randint(0, 3_000) for _ in range(2_000)]
    rows = (json.dumps({"text": text}) + "\n" for text in texts)
    (tmp_path / "a.jsonl").write_text("".join(rows))
    train, val = divided(tmp_path, 0.2)
    assert sorted(train + val) == sorted(texts)
    assert abs(sum(map(len, val)) - sum(map(len, texts)) / 5) <= 1_500
    places = sorted(texts.index(text) for text in val)
    for tenth in range(10):
        assert any(tenth * 200 <= place < tenth * 200 + 200 for place in places)


def test_without_a_fraction_everything_is_for_training(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number:02d}.txt").write_text(str(number))
    corpus = open_corpus("text", paths=[str(tmp_path)])
    assert list(divided_parts(corpus, 0)) == [(True, str(n), False) for n in range(20)]


def test_only_what_is_wanted_of_a_plain_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("talm_core.data.local.document_file.PART_BYTES", 1_000)
    (tmp_path / "a.txt").write_text("a" * MEGABYTE)
    corpus = open_corpus("text", paths=[str(tmp_path)])
    first = next(corpus.parts(corpus.rule(0.1), held_out=True))
    assert first.begins
    assert 1_000 <= len(first.text) < 1_010
    # The rest of the first kilobytes is what the reader has in its buffer.
    assert 900_000 <= corpus.position <= 900_000 + 2 * (1 << 16)
