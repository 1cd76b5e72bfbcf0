"""Text of one's own is read in blocks: how large a file is makes no difference to memory."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = """
import resource, sys
from talm_core.data.local.corpus import open_corpus
from talm_core.data.encoding import Encoder
from talm_core.data import split
from talm_core.tokenizer.vocabulary import BASE, Vocabulary

corpus = open_corpus("text", paths=[sys.argv[1]])
encoder = Encoder(Vocabulary.load(BASE))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
characters = 0
for part in ("val", "train"):
    for batch in encoder.batches(split.located(corpus, corpus.rule(0.1), part)):
        characters += sum(len(text) for _, text in batch.texts) if batch else 0
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
scale = 1024 if sys.platform == "darwin" else 1
print(characters, (after - before) // scale)
"""


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_file_is_never_in_memory_as_a_whole(suffix: str, tmp_path: Path) -> None:
    line = b"the cat sat on the mat, and the dog ran under it\n"
    data = line * 2_000_000
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(gzip.compress(data, 1) if suffix else data)
    command = [sys.executable, "-c", CHILD, str(path)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    characters, kilobytes = map(int, out.split())
    assert characters == len(data)
    # Ninety-eight megabytes of text, of which some blocks are at hand.
    assert kilobytes < 60_000
