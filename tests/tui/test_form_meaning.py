"""What the values of a form amount to, in numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from talm_core.data.manifest import Manifest, Shard, TokenizerInfo
from talm_core.data.sources import SOURCES
from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.runtime.events import Metrics
from talm_core.runtime.overview import Overview
from talm_core.runtime.runner import Status
from talm_core.settings.schema import build
from talm_core.storage.workspace import Artifact, Workspace
from talm_core.system.hardware import Room
from talm_core.training.estimate import plan
from talm_core.training.throughput import Speed
from talm_tui.data.meaning import guessed_ratio, of_data, published
from talm_tui.forms.checker import Corpus, Findings, Ratio
from talm_tui.forms.meaning import Meaning, unnamed
from talm_tui.tokenizer.looking import look
from talm_tui.tokenizer.meaning import of_tokenizer
from talm_tui.train.meaning import of_training, time_left
from talm_tui.widgets.format import duration, size


def said(meaning: Meaning) -> dict[str, str]:
    return {row.name: row.value for row in meaning.rows}


def run(name: str, rate: float, config: PretrainConfig | None = None) -> Overview:
    metrics = Metrics(
        step=1,
        max_steps=1,
        steps=1,
        tokens=1,
        loss=1.0,
        loss_ema=1.0,
        learning_rate=1.0,
        grad_norm=1.0,
        tokens_per_second=rate,
        elapsed=1.0,
        epoch=0.0,
    )
    artifact = Artifact("pretrain", name, Path(name))
    return Overview(artifact, Status.DONE, config=config, metrics=metrics)


def manifest() -> Manifest:
    shard: dict[str, Any] = {"documents": 1, "sha256": "0" * 64}
    return Manifest(
        source="stdlib",
        sample="all",
        tokenizer=TokenizerInfo(name="base", identity="sha256:" + "0" * 64, n_vocab=4100),
        dtype="uint16",
        shards=[
            Shard(file="val_000001.npy", split="val", tokens=1000, bytes=3000, **shard),
            Shard(file="train_000001.npy", split="train", tokens=921_600, bytes=9000, **shard),
        ],
    )


def test_a_tokenizer() -> None:
    config = build(TokenizerConfig, {"name": "a", "vocab_size": 1000, "val_fraction": 0.1})
    found = Findings(config, corpus=Corpus("stdlib", 9_000_000, 531))
    meaning = of_tokenizer(config, found)
    assert said(meaning) == {
        "corpus": "8.1 MB, 531 documents",
        "merges": "744 on top of 256 bytes",
        "ids": "1,004 with special tokens",
        "on disk": "2 bytes a token on disk",
    }
    assert meaning.brief.startswith("8.1 MB, 531 documents to learn from · 744 merges")
    large = build(TokenizerConfig, {"name": "a", "vocab_size": 2**16, "max_bytes": 1000})
    assert said(of_tokenizer(large, found))["on disk"].startswith("4 bytes")
    assert said(of_tokenizer(large, found))["corpus"] == "1.0 kB of 9.0 MB"


def test_what_a_tokenizer_learns_from_elsewhere(tmp_path: Path) -> None:
    def corpus_of(**values: object) -> str:
        config = build(TokenizerConfig, {"name": "a"} | values)
        return said(of_tokenizer(config, look(config, Workspace(tmp_path))))["corpus"]

    # What its publishers say of FineWeb's sample.
    sample = SOURCES["fineweb"].sample("sample-10BT")
    assert sample is not None
    whole = size(sample.likely_text_bytes or 0)
    assert corpus_of(corpus="fineweb") == f"200 MB of {whole}"
    assert corpus_of(corpus="fineweb", val_fraction=0.1) == f"180 MB of {whole}"
    assert corpus_of(corpus="fineweb", max_bytes=5_000_000) == f"5.0 MB of {whole}"
    unknown = {"corpus": "hub", "dataset": "some/one"}
    assert corpus_of(**unknown) == "at most 200 MB, from its beginning"
    (tmp_path / "data/text/d").mkdir(parents=True)
    manifest().save(tmp_path / "data/text/d")
    assert corpus_of(corpus="dataset", data_dir="d") == "9.0 kB, 1 document"
    assert corpus_of(corpus="dataset", data_dir="d", max_bytes=900) == "900 B of 9.0 kB"


def test_a_small_dataset() -> None:
    config = build(DataConfig, {})
    found = Findings(config, corpus=Corpus("stdlib", 9_000_000, 1), vocab_size=4096)
    assert said(of_data(config, found)) == {
        "corpus": "9.0 MB, 1 document",
        "tokens": "about 2.7 M, 3.3 bytes each (a guess)",
        "validation": "about 273 k tokens",
        "shards": "2 files, 5.5 MB",
    }
    assert of_data(config, Findings(config)) == Meaning()


def test_a_dataset_that_is_not_here_yet() -> None:
    config = build(DataConfig, {"source": "fineweb", "ds_sample": "sample-10BT"})
    found = Findings(
        config, vocab_size=4100, ratio=Ratio(4.0, "as in an earlier dataset"), free_disk=60 * 10**9
    )
    meaning = of_data(config, found)
    # 10 billion tokens of GPT-2's are some 44 GB of text, 11 billion of these, 22 GB in shards.
    assert said(meaning) == {
        "corpus": "10 G tokens · 31 GB to download (counted with GPT-2's tokenizer)",
        "tokens": "about 11 G, 4.0 bytes each (as in an earlier dataset)",
        "validation": "about 100 M tokens (the first shard)",
        "shards": "110 files, 22 GB",
        "download": "31 GB",
    }
    assert meaning.warnings == ()
    small = Findings(
        config, vocab_size=4100, ratio=Ratio(4.0, "as in an earlier dataset"), free_disk=50 * 10**9
    )
    (warning,) = of_data(config, small).warnings
    assert warning.startswith("the disk has 50 GB free, about 53 GB are needed: set max_tokens")
    # What is read and thrown away needs no room; a tenth of it a tenth.
    thrown = config.model_copy(update={"keep_downloads": False})
    assert of_data(thrown, small).warnings == ()
    tenth = config.model_copy(update={"max_tokens": 1_100_000_000})
    assert of_data(tenth, small).warnings == ()
    assert said(of_data(tenth, small))["download"] == "3.1 GB"
    other = build(DataConfig, {"source": "hub", "dataset": "a/b"})
    assert said(of_data(other, Findings(other, vocab_size=4100, free_disk=3 * 10**9))) == {
        "corpus": "not known until it starts and asks the Hub",
        "tokens": "all of it; max_tokens sets a limit",
        "shards": "2.0 MB a million tokens",
        "disk": "3.0 GB free, 1.5 G tokens",
    }
    limited = other.model_copy(update={"max_tokens": 10_000_000})
    (warning,) = of_data(limited, Findings(limited, vocab_size=4100, free_disk=1)).warnings
    assert "about 20 MB are needed" in warning


def test_a_dataset_that_is_not_named_yet() -> None:
    meaning = unnamed({"source": "hub", "max_tokens": 10_000_000}, "source")
    assert meaning is not None
    assert said(meaning) == {
        "needs": "the id of a dataset on the Hub, such as roneneldan/TinyStories",
        "corpus": "not known until it starts and asks the Hub",
        "at most": "10 M tokens",
    }
    assert unnamed({"source": "hub", "dataset": "a/b"}, "source") is None
    assert unnamed({"source": "text"}, "source") is None


def test_what_publishers_say() -> None:
    samples = {item.name: published(item) for item in SOURCES["smol"].samples}
    assert samples["cosmopedia-v2"] == "28 G tokens · 122 GB to download"
    assert published(SOURCES["stdlib"].samples[1]) == "The modules' sources."


def test_a_dataset_of_many_shards() -> None:
    config = build(DataConfig, {"shard_size": 100_000, "max_tokens": 1_000_000})
    found = Findings(
        config,
        corpus=Corpus("a", 9_000_000, 9),
        vocab_size=100_000,
        ratio=Ratio(3.0, "as in an earlier dataset"),
    )
    assert said(of_data(config, found)) == {
        "corpus": "9.0 MB, 9 documents",
        "tokens": "about 1.0 M, 3.0 bytes each (as in an earlier dataset)",
        "validation": "about 100 k tokens",
        "shards": "10 files, 4.0 MB",
    }


def test_the_guess_grows_with_the_vocabulary() -> None:
    ratios = [guessed_ratio(size) for size in (256, 1024, 4096, 50_257, 10**6)]
    assert ratios == sorted(ratios)
    assert ratios[0] == 1.0
    assert ratios[2] == pytest.approx(3.3)


def test_a_run() -> None:
    values = {"max_steps": 900, "batch_size": 16, "context_len": 128, "keep_checkpoints": 3}
    config = build(PretrainConfig, {"model_name": "a", "data_dir": "d", **values})
    planned = plan(config, manifest(), 4100)
    other = run("before", 40_000.0, config)
    meaning = of_training(config, Findings(config, manifest=manifest()), [other], 2**35)
    rows = said(meaning)
    assert rows["parameters"] == f"{planned.parameters.total:,}"
    assert rows["memory"].endswith("of 32 GiB")
    assert rows["tokens"].startswith("1.8 M, 2 epochs, ")
    assert rows["time"] == "about 0:46 at 40,000 tokens/s"
    assert rows[""] == "measured on before"
    assert rows["disk"].endswith("for 3 checkpoints")
    assert sum(part.amount for part in meaning.bar) == planned.memory.total
    assert "(2 epochs) · about 0:46 · " in meaning.brief
    assert rows["steps"] == "900 of 2,048 tokens"
    assert meaning.warnings == ()
    bare = of_training(config, None, [])
    assert said(bare)["time"] == "not known until a first run"


def test_what_autotune_measured_comes_before_earlier_runs() -> None:
    config = build(PretrainConfig, {"model_name": "a", "data_dir": "d", "max_steps": 900})
    found = Findings(config, manifest=manifest(), speed=Speed(41_000.0))
    other = run("before", 40_000.0, config)
    rows = said(of_training(config, found, [other]))
    tokens = 900 * config.tokens_per_step
    assert rows["time"] == f"about {duration(tokens / 41_000)} at 41,000 tokens/s"
    assert rows[""] == "measured by autotune"
    # Of another name it is the same run, of another width it is not.
    renamed = config.model_copy(update={"model_name": "b"})
    assert said(of_training(renamed, found, [other]))[""] == "measured by autotune"
    wider = config.model_copy(update={"n_embd": 2 * config.n_embd})
    assert said(of_training(wider, found, [other]))[""] == "measured on before"


def test_time_is_cut_by_minutes() -> None:
    values = {"model_name": "a", "data_dir": "d", "max_steps": 900, "minutes": 0.5}
    config = build(PretrainConfig, values)
    assert time_left(config, Speed(1000.0)) == "0:30, the time limit"
    assert time_left(config, None) == "at most 0:30"


def test_a_run_that_its_time_limit_ends_is_told_as_long_as_it_is() -> None:
    values = {"model_name": "a", "data_dir": "d", "max_steps": 700, "minutes": 0.5}
    config = build(PretrainConfig, values | {"batch_size": 8, "context_len": 128})
    found = Findings(config, manifest=manifest(), speed=Speed(10_240.0))
    meaning = of_training(config, found, [])
    rows = said(meaning)
    assert (
        rows["steps"] == "about 300 of 1,024 tokens, not 700: the time limit (minutes) comes first"
    )
    assert rows["tokens"].startswith("307 k, 0.33 epochs, ")
    assert "307 k tokens (0.33 epochs) · 0:30, the time limit" in meaning.brief
    assert meaning.timeline is not None
    assert meaning.timeline.steps == 300
    rows = said(of_training(config, Findings(config, manifest=manifest()), []))
    assert (
        rows["steps"]
        == "at most 700 of 1,024 tokens, fewer if the time limit (minutes) comes first"
    )
    assert rows["tokens"].startswith("at most 717 k, 0.78 epochs, ")
    slow = Findings(config, manifest=manifest(), speed=Speed(1e6))
    assert said(of_training(config, slow, []))["steps"] == "700 of 1,024 tokens"


def test_what_is_worrying_is_said_first() -> None:
    config = build(PretrainConfig, {"model_name": "a", "data_dir": "d", "max_steps": 90_000})
    meaning = of_training(config, Findings(config, manifest=manifest()), [])
    (warning,) = meaning.warnings
    assert warning.startswith("the text is read 100 times")
    assert "more text, or about" in warning
    assert meaning.brief.startswith("! the text is read 100 times")


def test_memory_is_that_of_the_accelerator_where_there_is_one() -> None:
    config = build(PretrainConfig, {"model_name": "a", "data_dir": "d"})
    found = Findings(config, manifest=manifest(), room=Room(80 * 2**30, None, "NVIDIA H100"))
    meaning = of_training(config, found, [], 2**35)
    assert said(meaning)["memory"].endswith(" of 80 GiB on NVIDIA H100")
    planned = plan(config, manifest(), 4100)
    assert sum(part.amount for part in meaning.bar) == planned.memory.on_device
    assert meaning.total == 80 * 2**30
