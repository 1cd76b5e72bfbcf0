"""A journal read for what a list shows of it.

Nearly all of a long journal is what a run says again and again: a line a step, a line a second, a
sample now and then. Of these a list shows the newest, and of the loss a small curve. To understand
a line takes a hundred times as long as to find where it ends.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from talm_core.runtime.event_json import decode
from talm_core.runtime.events import (
    Checkpointed,
    Evaluated,
    Event,
    Measured,
    Merged,
    Metrics,
    Progress,
    Record,
    Sampled,
    Telemetry,
)
from talm_core.runtime.journal import JournalReader

_BYTES = 18
_USUAL_BYTES = 256
_PART_BYTES = 128 * 1024


def _heads(kind: type[Event]) -> tuple[bytes, bytes]:
    """What a line of an event begins with, as `to_json` writes it and without spaces; these many
    bytes tell one event from all others. A line that is written another way is read, like any other
    event."""
    spaced = f'{{"event": "{kind.__name__}", '.encode()
    return spaced[:_BYTES], spaced.replace(b" ", b"")[:_BYTES]


_CURVES = (_heads(Metrics), _heads(Measured))
_PROGRESS = _heads(Progress)
_REPEATED = (Metrics, Measured, Evaluated, Sampled, Checkpointed, Telemetry, Merged, Progress)


def _phase(line: bytes) -> bytes:
    """What tells one phase's progress from that of another."""
    return line[line.find(b'"phase"') : line.find(b'"done"')]


class JournalSkimmer(JournalReader):
    """Reads of the events that a job repeats the last of each kind before any other event and
    in each part that is read, besides about `points` more `Metrics` and `Measured`, evenly
    spread; and every other event.

    In the end that adds up to what the whole does: what was said last of each kind, and when, and
    what a resumed or a rolled back run took back.
    """

    part_bytes = _PART_BYTES

    def __init__(
        self, directory: Path, points: int, *, whole: Collection[type[Event]] = ()
    ) -> None:
        """Of the kinds that are wanted `whole` every event is read."""
        super().__init__(directory)
        self._points = points
        self._until = [0] * len(_CURVES)
        kinds = [kind for kind in _REPEATED if kind not in whole]
        self._repeated = frozenset(head for kind in kinds for head in _heads(kind))

    def _decode(self, lines: list[bytes]) -> list[Record]:
        heads = [line[:_BYTES] for line in lines]
        others: list[int] = []
        if not self._repeated.issuperset(heads):
            others = [place for place, head in enumerate(heads) if head not in self._repeated]
        records: list[Record] = []
        start = 0
        for place in (*others, len(lines)):
            if start < place:
                records += self._chosen(lines[start:place], heads[start:place])
            if place < len(lines) and (record := decode(lines[place])) is not None:
                records.append(record)
            start = place + 1
        return records

    def _chosen(self, lines: list[bytes], heads: list[bytes]) -> list[Record]:
        """Of lines that repeat each other the last of each kind that can be read, and the points,
        in their order."""
        points = self._points_among(heads)
        if not set(_PROGRESS).isdisjoint(heads):
            heads = [
                _phase(line) if line.startswith(_PROGRESS) else line[:_BYTES] for line in lines
            ]
            # The first of each phase as well: phases are listed in the order in which they began.
            seen: set[bytes] = set()
            for index, head in enumerate(heads):
                if head not in seen:
                    seen.add(head)
                    points.add(index)
        first = min(points, default=len(lines))
        wanted = set(heads)
        found: list[Record] = []
        for index in range(len(lines) - 1, -1, -1):
            if not wanted and index < first:
                break
            if (heads[index] in wanted or index in points) and (record := decode(lines[index])):
                wanted.discard(heads[index])
                found.append(record)
        return found[::-1]

    def _points_among(self, heads: list[bytes]) -> set[int]:
        every = max(1, self._size // (self._points * _USUAL_BYTES))
        points = set()
        for kind, spelled in enumerate(_CURVES):
            measured = sum(map(heads.count, spelled))
            if measured <= self._until[kind]:
                # So it is nearly everywhere in a long journal.
                self._until[kind] -= measured
                continue
            for index, head in enumerate(heads):
                if head in spelled:
                    if self._until[kind] == 0:
                        points.add(index)
                        self._until[kind] = every
                    self._until[kind] -= 1
        return points
