"""A process that answers prompts for as long as somebody asks.

    python -m talm_core --play        requests on stdin, one a line; events on stdout, one a line

A request is a JSON object of `SampleConfig` values, or a list of several that are written at once,
a token of each in turn: `[{"lane": 3, "settings": {...}}, ...]`. What is said about one of them
carries its `lane`. A new line while a text is being written ends that text and begins the next; an
empty one only ends it. A request that cannot be obeyed is answered by `Failed`; the session goes
on.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

from talm_core.errors import ConfigError, InputError, Problem, TalmError
from talm_core.jobs.sample.config import SampleConfig
from talm_core.jobs.sample.job import Session
from talm_core.runtime.event_json import to_json
from talm_core.runtime.events import Event, Failed, Finished, Stopped
from talm_core.settings.schema import build
from talm_core.storage.workspace import Workspace

_Lanes = dict[int, Iterator[Event]]


def serve(workspace: Workspace, lines: TextIO, out: TextIO) -> int:
    """Answer requests with events until `lines` ends; returns the exit code."""
    waiting: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_listen, args=(lines, waiting), daemon=True).start()
    session = Session(workspace)

    def say(lane: int, event: Event) -> None:
        out.write(to_json(event, time=time.time(), lane=lane) + "\n")
        out.flush()

    while (line := waiting.get()) is not None:
        if not line.strip():
            continue
        try:
            lanes = {lane: session.sample(config) for lane, config in _requests(line).items()}
        except InputError as error:
            say(0, Failed(message=str(error), kind=type(error).__name__))
            continue
        running: _Lanes = dict(lanes)
        for lane, event in _in_turn(running):
            say(lane, event)
            if waiting.queue and waiting.queue[0] is not None:
                for left in running:
                    if left != lane or not isinstance(event, Finished | Failed):
                        say(left, Stopped(reason="asked again"))
                break
    return 0


def _listen(lines: TextIO, waiting: queue.Queue[str | None]) -> None:
    for line in lines:
        waiting.put(line)
    waiting.put(None)


def _in_turn(running: _Lanes) -> Iterator[tuple[int, Event]]:
    """An event of each lane in turn; a lane that is over is taken out of `running`."""
    while running:
        for lane, events in list(running.items()):
            try:
                event = next(events)
            except StopIteration:
                del running[lane]
            except TalmError as error:
                del running[lane]
                yield lane, Failed(message=str(error), kind=type(error).__name__)
            else:
                yield lane, event


def _requests(line: str) -> dict[int, SampleConfig]:
    """What a line asks for, by lane.

    Raises:
        ConfigError: it is no request, or a setting in it is wrong.
    """
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigError(Problem("stdin", f"is no JSON: {error}")) from None
    if isinstance(values, dict):
        return {0: build(SampleConfig, values)}
    if not isinstance(values, list) or not values:
        raise _no_request()
    requests = dict(map(_request, values))
    if len(requests) < len(values):
        raise ConfigError(Problem("stdin", "each lane may be given once"))
    return requests


def _request(value: Any) -> tuple[int, SampleConfig]:
    lane = value.get("lane") if isinstance(value, Mapping) else None
    settings = value.get("settings") if isinstance(value, Mapping) else None
    if not isinstance(lane, int) or not isinstance(settings, dict):
        raise _no_request()
    return lane, build(SampleConfig, settings)


def _no_request() -> ConfigError:
    message = "must be one JSON object of settings a line, or a list of lanes with settings"
    return ConfigError(Problem("stdin", message))
