"""The Python standard library of this machine as a corpus.

Its modules' sources without tests, bundled tools and generated files, and the topics of `help()`,
which are chapters of the language reference. They are ordered by a hash of their names, so that
the last tenth is like the rest.
"""

from __future__ import annotations

import hashlib
import os
import sysconfig
from importlib import import_module
from pathlib import Path

from talm_core.data.local.entries import Entry
from talm_core.errors import CorpusError, Problem

SAMPLES = ("all", "code", "docs")

# Tests, programs that only ship with Python, what others have installed, and what is generated:
# the tables of old encodings and the topics, which are documents of their own.
_NO_LIBRARY = {
    *("__pycache__", "site-packages", "dist-packages", "test", "tests"),
    *("idlelib", "lib2to3", "turtledemo", "encodings", "pydoc_data"),
}
_NO_LIBRARY_PREFIXES = ("config-", "_sysconfigdata", "sitecustomize", "usercustomize")
_TOPICS = "pydoc_data.topics"


def library(sample: str) -> list[Entry]:
    """The entries of one of `SAMPLES`, ordered by a hash of their names.

    Raises:
        CorpusError: there is no such sample, or this Python comes without it.
    """
    if sample not in SAMPLES:
        problem = Problem("sample", f"stdlib has {', '.join(SAMPLES)}", sample)
        raise CorpusError(problem)
    entries: list[Entry] = []
    if sample != "docs":
        entries += _library_sources()
    if sample != "code":
        entries += _topics()
    return sorted(entries, key=lambda entry: hashlib.sha256(entry.name.encode()).digest())


def _library_sources() -> list[Entry]:
    top = sysconfig.get_path("stdlib")
    entries = []
    for folder, folders, files in os.walk(top):
        folders[:] = [name for name in folders if _in_library(name)]
        for name in files:
            if name.endswith(".py") and _in_library(name):
                path = Path(folder, name)
                size = path.stat().st_size if path.exists() else 0
                if size:
                    entries.append(Entry(path.relative_to(top).as_posix(), size, path))
    if not entries:
        message = "this Python comes without the sources of its standard library"
        hint = "use text files of your own"
        raise CorpusError(Problem("stdlib", message, top, hint))
    return entries


def _in_library(name: str) -> bool:
    return name not in _NO_LIBRARY and not name.startswith((*_NO_LIBRARY_PREFIXES, "."))


def _topics() -> list[Entry]:
    try:
        topics: dict[str, str] = import_module(_TOPICS).topics
    except (ImportError, AttributeError):
        message = "this Python comes without its documentation topics"
        raise CorpusError(Problem("stdlib", message, _TOPICS, "use sample code")) from None
    return [
        Entry(f"topics/{name}.rst", len(text.encode()), text=text)
        for name, text in topics.items()
        if text
    ]
