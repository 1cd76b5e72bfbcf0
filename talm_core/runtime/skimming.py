"""A journal read for what a list shows of it.

Nearly all of a long journal is what a run says again and again: a line a step, a line a second, a
sample now and then. Of these a list shows the newest, and of the loss a small curve. To understand
a line takes a hundred times as long as to find where it ends.
"""

from __future__ import annotations

from pathlib import Path

from talm_core.runtime.event_json import decode
from talm_core.runtime.events import (
    Checkpointed,
    Evaluated,
    Measured,
    Metrics,
    Record,
    Sampled,
    Telemetry,
)
from talm_core.runtime.journal import JournalReader

# As `to_json` begins a line; these many bytes tell one event from all others. A line that is
# written another way is read, like any other event.
_BYTES = 18
_METRICS, _MEASURED, *_OTHERS = (
    f'{{"event": "{kind.__name__}", '.encode()[:_BYTES]
    for kind in (Metrics, Measured, Evaluated, Sampled, Checkpointed, Telemetry)
)
_REPEATED = frozenset({_METRICS, _MEASURED, *_OTHERS})
_USUAL_BYTES = 256


class JournalSkimmer(JournalReader):
    """Reads of the events that a run repeats the last of each kind before any other event and
    in each part that is read, besides about `points` more `Metrics` and `Measured`, evenly spread;
    and every other event.

    In the end that adds up to what the whole does: what was said last of each kind, and when, and
    what a resumed or a rolled back run took back.
    """

    def __init__(self, directory: Path, points: int) -> None:
        super().__init__(directory)
        self._points = points
        self._until = {_METRICS: 0, _MEASURED: 0}

    def _decode(self, lines: list[bytes]) -> list[Record]:
        every = max(1, self._size // (self._points * _USUAL_BYTES))
        records: list[Record] = []
        repeated: list[bytes] = []
        points: set[int] = set()
        for line in lines:
            head = line[:_BYTES]
            if head in _REPEATED:
                if head in self._until:
                    if self._until[head] == 0:
                        points.add(len(repeated))
                        self._until[head] = every
                    self._until[head] -= 1
                repeated.append(line)
            elif (record := decode(line)) is not None:
                records += _chosen(repeated, points)
                records.append(record)
                repeated.clear()
                points.clear()
        return records + _chosen(repeated, points)


def _chosen(lines: list[bytes], points: set[int]) -> list[Record]:
    """Of lines that repeat each other the last of each kind that can be read, and those at
    `points`, in their order."""
    found: list[Record] = []
    kinds: set[bytes] = set()
    for index in range(len(lines) - 1, -1, -1):
        head = lines[index][:_BYTES]
        if head not in kinds or index in points:
            record = decode(lines[index])
            if record is not None:
                kinds.add(head)
                found.append(record)
    return found[::-1]
