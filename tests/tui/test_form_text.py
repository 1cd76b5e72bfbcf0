"""Values as text and back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.settings.schema import Declared, JobConfig, settings_of
from talm_core.settings.toml import config_classes
from talm_tui.forms.text import TextError, join, parse, show, show_float, split


def setting(model: type[JobConfig], key: str) -> Declared:
    return next(item for item in settings_of(model) if item.key == key)


N_LAYER = setting(PretrainConfig, "n_layer")
MINUTES = setting(PretrainConfig, "minutes")
RATE = setting(PretrainConfig, "learning_rate")
TIE = setting(PretrainConfig, "tie_embeddings")
FILES = setting(TokenizerConfig, "text_file")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4", 4),
        (" 12 ", 12),
        ("50,257", 50257),
        ("1_000", 1000),
        ("10k", 10_000),
        ("2.5M", 2_500_000),
        ("1e3", 1000),
        ("-3", -3),
        ("1.5", "1.5"),
        ("four", "four"),
        ("1e999999999", "1e999999999"),
        (".", "."),
        ("", None),
    ],
)
def test_whole_numbers(text: str, value: Any) -> None:
    assert parse(N_LAYER, text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("3e-4", 3e-4), (".5", 0.5), ("none", None), ("1e400", "1e400"), ("x", "x")]
)
def test_numbers(text: str, value: Any) -> None:
    assert parse(MINUTES, text) == value


def test_switches() -> None:
    assert show(TIE, True) == "yes"
    assert parse(TIE, "no") is False
    assert parse(TIE, "perhaps") == "perhaps"


@pytest.mark.parametrize(
    ("value", "text"), [(3e-3, "0.003"), (1e-5, "1e-5"), (1e4, "10000"), (1e20, "1e20")]
)
def test_floats_are_short(value: float, text: str) -> None:
    assert show_float(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_come_back(value: float) -> None:
    assert float(show_float(value)) == value


@given(st.integers(-(10**12), 10**12))
def test_whole_numbers_come_back(value: int) -> None:
    assert parse(N_LAYER, show(N_LAYER, value)) == value


@given(st.lists(st.text()), st.booleans())
def test_words_come_back(words: list[str], plain: bool) -> None:
    assert split(join(words, plain=plain)) == words


def test_words() -> None:
    assert split("a \"b c\"  'd' e\\f") == ["a", "b c", "d", "e\\f"]
    assert split('"a\\nb" ""') == ["a\nb", ""]
    with pytest.raises(TextError, match="not closed"):
        split("'def ")


def test_a_path_with_spaces_needs_no_quotes_where_it_exists(tmp_path: Any) -> None:
    (tmp_path / "my books").mkdir()
    assert parse(FILES, f"{tmp_path}/my books") == (f"{tmp_path}/my books",)
    assert parse(FILES, f"{tmp_path}/your books") == (f"{tmp_path}/your", "books")


@pytest.mark.parametrize("model", config_classes().values())
def test_every_default_comes_back(model: type[JobConfig]) -> None:
    for item in settings_of(model):
        if not item.required:
            value = parse(item, show(item, item.default))
            # Empty text and none are one thing to a form.
            assert (value or None) == (item.default or None) or value == item.default, item.key
