"""Text cut into tokens, and the session that does it while somebody types."""

from __future__ import annotations

import json
import subprocess
import sys
from io import StringIO
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talm_core.storage.workspace import Workspace
from talm_core.tokenizer import service
from talm_core.tokenizer.playground import Answer, Ask, Token, decode
from talm_core.tokenizer.service import Cut, Session, serve
from talm_core.tokenizer.tokenizer import Tokenizer
from talm_core.tokenizer.vocabulary import BASE, Vocabulary

BASE_TOKENIZER = Tokenizer.from_vocabulary(Vocabulary.load(BASE))

texts = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(["def ", "é", "中", "😀", "\ud800", "<|user|>", "\n", "a"])).map(
        "".join
    ),
)


def whole(text: str, *, special: bool = False) -> list[Token]:
    cut = Cut(BASE_TOKENIZER, text, special=special)
    first, part = cut.part(0, len(text) + 1)
    assert first == 0
    return list(part)


def test_every_token_has_its_characters() -> None:
    # The base vocabulary has no token for 世, whose three bytes are three tokens.
    ids = [BASE_TOKENIZER.encode(text)[0] for text in ("if", " ")]
    assert whole("if é")[:3] == [
        Token(ids[0], "if", 0, 2),
        Token(ids[1], "␣", 2, 3),
        Token(195, "\\xc3", 3, 4),
    ]
    assert [(token.text, token.start, token.stop) for token in whole("世\n")] == [
        ("\\xe4", 0, 1),
        ("\\xb8", 1, 1),
        ("\\x96", 1, 1),
        ("\\n", 1, 2),
    ]


@given(texts, st.booleans())
@settings(deadline=None)
def test_tokens_cover_the_text(text: str, special: bool) -> None:
    tokens = whole(text, special=special)
    shown = text.encode("utf-8", "replace") if text.isascii() else None
    assert [token.id for token in tokens] == BASE_TOKENIZER.ids(
        "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text), special=special
    ).tolist()
    assert [a.stop for a in tokens[:-1]] == [b.start for b in tokens[1:]]
    if tokens:
        assert (tokens[0].start, tokens[-1].stop) == (0, len(text))
    if shown is not None:
        assert "".join(token.text for token in tokens).replace("␣", " ").isprintable()


@given(texts.filter(bool), st.integers(0, 60), st.integers(0, 60))
@settings(deadline=None)
def test_a_part_has_every_token_that_touches_it(text: str, start: int, length: int) -> None:
    first, part = Cut(BASE_TOKENIZER, text).part(start, start + length)
    tokens = whole(text)
    assert list(part) == tokens[first : first + len(part)]
    touching = {
        index
        for index, token in enumerate(tokens)
        if token.start < start + length and token.stop > start
    }
    assert touching <= set(range(first, first + len(part)))
    assert all(token.start < start + length for token in part)


def test_an_answer_is_never_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MOST_TOKENS", 5)
    first, part = Cut(BASE_TOKENIZER, "x\n" * 100).part(50, 150)
    assert (first, len(part)) == (50, 5)


def test_special_tokens_are_text_unless_asked_for() -> None:
    text = "a<|endoftext|>"
    assert len(whole(text)) > 3
    assert [(t.text, t.start, t.stop) for t in whole(text, special=True)] == [
        ("a", 0, 1),
        ("<|endoftext|>", 1, 14),
    ]


def test_a_session_remembers_its_text(tmp_path: Path) -> None:
    cutting = Session(Workspace(tmp_path))
    missing = cutting.answer(Ask(number=1))
    assert (missing.number, missing.error) == (1, "text: must be given first")
    answer = cutting.answer(Ask(number=2, text="one\n" * 300, stop=4))
    assert (answer.number, answer.tokens, answer.bytes, answer.characters) == (2, 600, 1200, 1200)
    assert [token.text for token in answer.part] == ["one", "\\n"]
    answer = cutting.answer(Ask(number=3, start=8, stop=11))
    assert (answer.first, answer.tokens) == (4, 600)
    assert [(token.text, token.start) for token in answer.part] == [("one", 8)]
    assert "there is no such tokenizer" in cutting.answer(Ask(tokenizer="none")).error
    assert cutting.answer(Ask(number=4, stop=1)).tokens == 600


def test_a_tokenizer_that_was_trained_anew_is_read_anew(tmp_path: Path) -> None:
    from talm_core.tokenizer.bpe_trainer import TokenizerTrainer

    cutting = Session(Workspace(tmp_path))
    path = TokenizerTrainer("t").train(vocab_size=257, text="abab", save_dir=tmp_path)
    assert cutting.answer(Ask(tokenizer=path, text="abc")).tokens == 2
    Path(path).unlink()
    with pytest.warns(UserWarning, match="too short"):
        TokenizerTrainer("t").train(vocab_size=260, text="abcabc", save_dir=tmp_path)
    assert cutting.answer(Ask(tokenizer=path)).tokens == 1


def test_lines_that_are_no_ask_are_answered() -> None:
    lines = StringIO('nothing\n[1]\n{"text": 5}\n{"text": "a", "start": -1}\n')
    out = StringIO()
    assert serve(Workspace(Path("/nowhere")), lines, out) == 0
    errors = [decode(line).error for line in out.getvalue().splitlines()]
    assert errors[0].startswith("stdin: is no JSON")
    assert errors[1].startswith("stdin: Input should be")
    assert errors[2] == "text: Input should be a valid string"
    assert errors[3] == "start: Input should be greater than or equal to 0"


def test_what_waits_gives_way_to_the_newest() -> None:
    """With everything there from the start, only the last is answered, about the last text."""
    asks = [Ask(number=n, text="x" * n) for n in range(1, 50)] + [Ask(number=50, start=3, stop=4)]
    out = StringIO()
    serve(Workspace(Path("/nowhere")), StringIO("".join(ask.line() for ask in asks)), out)
    answers = [decode(line) for line in out.getvalue().splitlines()]
    assert answers[-1].number == 50
    assert answers[-1].characters == 49
    assert all(a.number < b.number for a, b in pairwise(answers))


def test_an_answer_comes_back_as_it_was() -> None:
    answer = Answer(3, 2, 5, 4, 1, (Token(7, "é\\n", 0, 2), Token(8, "\u2028", 2, 2)), "")
    assert decode(answer.line()) == answer
    assert answer.line().count("\n") == 1
    assert json.loads(Ask(text="\ud800\n").line())["text"] == "\ud800\n"


def test_the_process_answers_line_by_line(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "talm_core", "--tokenize", "--workspace", str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number, text in enumerate(("def", "x" * 300_000 + " " * 700_000, "\ud83d")):
            process.stdin.write(Ask(number=number, text=text, stop=3).line())
            process.stdin.flush()
            answer = decode(process.stdout.readline())
            assert (answer.number, answer.characters) == (number, len(text))
            assert answer.error == ""
        process.stdin.close()
    assert process.returncode == 0


def test_the_protocol_loads_nothing_heavy() -> None:
    code = (
        "import sys, talm_core.tokenizer.playground;"
        "print({'torch', 'tiktoken', 'numba', 'numpy'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "set()\n"
