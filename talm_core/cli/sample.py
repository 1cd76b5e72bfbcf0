"""`talm sample`: continue a text."""

from __future__ import annotations

import sys

from talm_core.cli.call import DONE, STOPPED, Call
from talm_core.cli.output import Delayed, JsonOutput, Output, TextOutput
from talm_core.errors import ConfigError, InputError, Problem
from talm_core.jobs.sample.config import SampleConfig
from talm_core.runtime import control
from talm_core.runtime.context import Foreground
from talm_core.runtime.entry import share_cores
from talm_core.settings.schema import build


def sample(call: Call) -> int:
    """The prompt, then the text as it comes; with --json every token as an event."""
    try:
        config = build(SampleConfig, call.given.settings())
    except InputError as error:
        call.require(error.problems)
        raise
    call.require()
    if config.prompt == "-":
        config = config.model_copy(update={"prompt": _from_stdin()})
    share_cores()
    # Not at the top: it loads torch.
    from talm_core.jobs.sample.job import sample as job

    control.stop_on_signals()

    def screen() -> Output:
        return JsonOutput(sys.stdout) if call.as_json else TextOutput(sys.stdout, config.prompt)

    # The model is found and loaded before anything is printed.
    with Delayed(screen, after=2) as show:
        context = Foreground(call.workspace, call.workspace.root, show)
        finished = context.drive(lambda ctx: job(ctx, config))
    return DONE if finished else STOPPED


def _from_stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        message = f"standard input is not UTF-8 (byte {error.start})"
        raise ConfigError(Problem("prompt", message)) from None
