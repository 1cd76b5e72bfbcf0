"""Compiling hot loops: splitting, counting and merging to train a tokenizer, and encoding.

The machine code is kept beside the source, or in the user's cache directory where that cannot be
written; where neither can, every process compiles anew. It is made anew, too, when any module of
the tokenizer has changed: functions of one are inlined in those of another, and numba only looks
at the one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

Scalar = Any
"""A number in compiled code: an int of Python outside, an int64 or a bool inside."""

# Nothing compiled here makes an array. Without numba's counting of references to those it is given,
# which every call would do with atomic instructions, it runs in less than half the time.
_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "no_cfunc_wrapper": True,
    "_nrt": False,
}


_SOURCES = tuple(
    (path.name, status.st_mtime_ns, status.st_size)
    for path in sorted(Path(__file__).parent.glob("*.py"))
    for status in [path.stat()]
)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` as machine code; it is compiled, or read from the cache, at its first call."""
    return _compiled(function, _OPTIONS)


def inner(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same for a function that only compiled ones call: without the entry from Python, which
    takes longer to compile than what it leads to."""
    return _compiled(function, _OPTIONS | {"no_cpython_wrapper": True})


def is_cached(function: Callable[..., Any], *arguments: object) -> bool:
    """Whether the machine code of a `compiled` function for such arguments is in the cache, or
    already here. Nothing is compiled."""
    dispatcher: Any = function
    signature = tuple(map(numba.typeof, arguments))
    if signature in dispatcher.overloads:
        return True
    # Without a directory for it, there is a cache that never has anything.
    cache = dispatcher._cache  # noqa: SLF001
    return cache.load_overload(signature, dispatcher.targetctx) is not None


def is_kept(function: Any) -> bool:
    """Whether the machine code of a compiled function is kept for other processes."""
    return function.stats.cache_path is not None


def _compiled(function: Callable[..., Any], options: dict[str, Any]) -> Callable[..., Any]:
    dispatcher: Any
    try:
        dispatcher = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no directory can be written
        dispatcher = numba.njit(**options)(function)
    else:
        index = dispatcher._cache._cache_file  # noqa: SLF001
        index._source_stamp = (index._source_stamp, _SOURCES)  # noqa: SLF001
    machine_code: Callable[..., Any] = dispatcher
    return machine_code
