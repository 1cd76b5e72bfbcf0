"""The small parts of forms: names, quantities, completion, help, progress lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.runtime.events import (
    Failed,
    Finished,
    Merged,
    Notice,
    Progress,
    Record,
    Started,
    Stopped,
)
from talm_core.runtime.history import History
from talm_core.runtime.runner import Status
from talm_core.settings.schema import settings_of
from talm_tui.forms.job_lines import bar, counts_line, lines, newest_line, newest_words, phase_line
from talm_tui.forms.meaning_panel import _widths
from talm_tui.forms.names import free, short_count, slug, stem
from talm_tui.forms.setting_help import facts, more, usage
from talm_tui.forms.suggest import complete
from talm_tui.widgets.format import count, duration, memory, size

KEYS = {
    "place.leave": "esc",
    "form.log": "l",
    "form.stop": "f9",
    "form.start": "^r",
    "app.runs": "5",
    "runs.resume": "r",
}
key = KEYS.__getitem__


def test_names() -> None:
    assert free("nano", {"nano", "nano-2"}) == "nano-3"
    assert free("nano", ()) == "nano"
    assert slug("../my book!.txt") == "my-book-.txt"
    assert stem("/home/me/my books/") == "my-books"
    assert stem("a/b.tar.gz") == "b"
    assert stem("/") == ""
    assert [short_count(n) for n in (4096, 8000, 50_257, 300)] == ["4k", "8k", "50257", "300"]


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (99_999, "99,999"), (100_000, "100 k"), (999_960, "1.0 M"), (3.44e6, "3.4 M")],
)
def test_counts(number: float, text: str) -> None:
    assert count(number) == text


def test_sizes_and_times() -> None:
    assert [size(n) for n in (999, 1000, 31_400, 2.5e9)] == ["999 B", "1.0 kB", "31 kB", "2.5 GB"]
    assert [memory(n) for n in (999, 1024, 24 * 2**30)] == ["999 B", "1.0 KiB", "24 GiB"]
    assert [duration(n) for n in (0, 48.4, 3599, 3600, 200_000)] == [
        *("0:00", "0:48", "59:59", "1 h 0 min", "2 d 7 h"),
    ]


def test_paths_are_completed(tmp_path: Path) -> None:
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "a.txt").touch()
    (tmp_path / "boo.txt").touch()
    (tmp_path / ".hidden").touch()
    at = str(tmp_path)
    assert complete(f"{at}/books") == f"{at}/books/"
    assert complete(f"x {at}/boo") == f"x {at}/boo.txt"
    assert complete(f"{at}/books/") == f"{at}/books/a.txt"
    assert complete(f'"{at}/books/a') == f'"{at}/books/a.txt'
    assert complete(f"{at}/.h") == f"{at}/.hidden"
    assert complete(f"{at}/books/a.txt") is None
    assert complete(f"{at}/nothing/") is None
    assert complete("") is None
    assert complete("~nobody-of-this-name/x") is None


def test_help_says_range_default_and_unit() -> None:
    declared = {item.key: item for item in settings_of(PretrainConfig)}
    assert facts(declared["n_layer"], 4) == "1 to 128 · default 4"
    assert facts(declared["minutes"], None) == "above 0 · default none · minutes"
    assert facts(declared["model_name"], None) == "required"
    assert "Left and right" in usage(declared["device"])
    assert "quote" in usage(declared["sample_prompt"])
    files = next(item for item in settings_of(TokenizerConfig) if item.key == "text_file")
    assert "completion" in usage(files)


def history(*events: object) -> History:
    made = History()
    made.extend(Record(float(i), event) for i, event in enumerate(events))  # type: ignore[arg-type]
    return made


@pytest.mark.parametrize(
    ("amounts", "widths"),
    [
        ([1, 1, 2], [10, 10, 20]),
        ([0, 1, 1e9], [0, 1, 39]),
        ([1.8, 1.8, 3.6, 55, 330], [1, 1, 1, 5, 32]),
        ([0, 0], [40, 0]),
    ],
)
def test_a_bar_of_parts_is_as_long_as_there_is_room(
    amounts: list[float], widths: list[int]
) -> None:
    assert _widths(amounts, 40) == widths


def test_bars() -> None:
    assert bar(0.5, 12) == "▕█████░░░░░▏"
    assert bar(2.0, 4) == "▕██▏"
    assert bar(0.0, 4) == "▕░░▏"


def test_choices_stand_apart_where_there_is_room() -> None:
    source = next(item for item in settings_of(DataConfig) if item.key == "source")
    lines = more(source, apart=True).splitlines()
    assert [text.partition(":")[0] for text in lines] == list(source.choices or ())
    assert more(source, apart=False) == source.setting.more == " ".join(lines)
    size = next(item for item in settings_of(DataConfig) if item.key == "shard_size")
    assert more(size, apart=True) == size.setting.more


def test_a_phase_in_one_line() -> None:
    event = Progress(
        phase="reading", done=6_600_000, total=9_300_000, unit="bytes", rate=33e6, eta=3.0
    )
    said = phase_line(event, 100)
    assert "reading" in said
    assert " 71%" in said
    assert "6.6 MB of 9.3 MB  33 MB/s  0:03 left" in said
    assert phase_line(Progress(phase="connecting", done=0), 80) == "  connecting   …"
    unknown = phase_line(Progress(phase="splitting", done=5, unit="documents"), 80)
    assert unknown.split() == ["splitting", "5", "documents"]


def test_what_there_is_so_far() -> None:
    counts = {"tokens": 5_100_000, "tokens_per_second": 41_200, "documents": 1, "retries": 0}
    event = Progress(phase="tokenizing", done=5, counts=counts)
    assert (
        counts_line(event, 80).split(maxsplit=2)[2] == "5.1 M tokens · 41,200 tokens/s · 1 document"
    )
    again = Progress(phase="tokenizing", done=5, counts=counts | {"retries": 3})
    assert counts_line(again, 40) == "  so far       3 retries · 5.1 M tokens"
    assert counts_line(Progress(phase="merging", done=5), 80) == ""


def test_a_running_job_shows_its_newest_note() -> None:
    said = history(
        Started(job="data", name="a"),
        Notice(message="first"),
        Progress(phase="tokenizing", done=5),
        Notice(message="the Hub is busy:\n retrying in 8 s", level="warning"),
    )
    text = lines("data", "a", Status.RUNNING, said, 80, key).plain
    assert "note         the Hub is busy: retrying in 8 s" in text
    assert "first" not in text
    said = history(Started(job="data", name="a"), Notice(message=" ".join(["word"] * 30)))
    _, *notes = lines("data", "a", Status.RUNNING, said, 80, key).plain.splitlines()
    assert [note.split()[0] for note in notes] == ["note", "word", "word"]
    assert all(len(note) <= 80 for note in notes)
    assert " ".join(notes).split() == ["note", *["word"] * 30]


def test_the_newest_tokens_that_fit() -> None:
    line = newest_words(["ab", " return", "self."], 34)
    assert line == '  newest       "self." "␣return" …'


def test_beside_the_newest_tokens_stands_what_they_have_brought() -> None:
    merged = Merged(vocab_size=300, newest=["ab", "世", " return"], bytes_per_token=3.414)
    assert newest_line(merged, 60) == (
        '  newest       "␣return" "世" "ab"' + " " * 6 + "  3.41 bytes a token"
    )
    assert newest_line(merged, 44) == "  newest       …" + " " * 8 + "  3.41 bytes a token"


def test_a_running_job_shows_every_phase_and_the_newest_tokens() -> None:
    said = history(
        Started(job="tokenizer", name="a"),
        Progress(phase="reading", done=10, total=10, unit="bytes"),
        Progress(phase="merging", done=5, total=20, unit="tokens"),
        Merged(vocab_size=300, newest=["th", "the"]),
    )
    text = lines("tokenizer", "a", Status.RUNNING, said, 100, key).plain
    assert [line.split()[0] for line in text.splitlines()] == ["▶", "reading", "merging", "newest"]
    assert "f9  stop" in text


def test_how_a_job_ended() -> None:
    started = Started(job="tokenizer", name="a")
    done = history(started, Finished(seconds=61, summary={"merges": 3840, "bytes": 9_258_180}))
    text = lines("tokenizer", "a", Status.DONE, done, 100, key, next_step="d  go on").plain
    assert (
        text == "● done  Tokenizer a  in 1:01   d  go on   esc  hide\n  merges 3,840 · bytes 9.3 MB"
    )
    failed = history(started, Failed(message="\x1b[31mno\nspace [bold]left"))
    text = lines("data", "a", Status.FAILED, failed, 100, key).plain
    assert text == "✕ failed  Dataset a  l  log   esc  hide\n  no\n  space [bold]left"
    # Whatever is to be done about it is there, with its key; where it is very long, the log has it.
    long = Failed(message="The disk is full: " + "free some of it, " * 12 + "and go on.")
    said = lines("data", "a", Status.FAILED, history(started, long), 36, key).plain.splitlines()
    assert all(len(line) <= 36 for line in said)
    assert "esc  hide" in said[1]
    assert " ".join(" ".join(said[2:]).split()) == long.message
    longer = Failed(message="no " * 400)
    said = lines("data", "a", Status.FAILED, history(started, longer), 80, key).plain.splitlines()
    assert len(said) == 11
    assert said[-1] == "  … l  shows the rest"
    warned = history(
        started,
        Notice(message="the first of many words", level="info"),
        Notice(message="The text is too short for 4,096 tokens", level="warning"),
        Finished(seconds=61, summary={"vocab_size": 1881, "n_vocab": 1885}),
    )
    assert lines("tokenizer", "a", Status.DONE, warned, 100, key).plain.splitlines()[1:] == [
        "  vocabulary 1,881 · with special tokens 1,885",
        "  ! The text is too short for 4,096 tokens",
    ]
    stopped = history(started, Stopped(reason="asked to stop"))
    text = lines("data", "a", Status.STOPPED, stopped, 100, key).plain
    assert text.startswith("◐ stopped  Dataset a  asked to stop")
    assert text.endswith("continues it")
    assert lines("tokenizer", "a", Status.STOPPED, stopped, 100, key).plain.endswith(
        "starts it again"
    )
    run = lines("pretrain", "a", Status.STOPPED, stopped, 100, key).plain
    assert run.endswith("asked to stop   5 r continues it")
    died = history(started, Progress(phase="reading", done=1))
    assert "its process died" in lines("data", "a", Status.INTERRUPTED, died, 100, key).plain
    assert all(
        line.cell_length <= 20 for line in lines("data", "a", Status.DONE, done, 20, key).split()
    )
