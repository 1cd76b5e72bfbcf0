"""`talm sample`: continue a text."""

from __future__ import annotations

import os
import select
import stat
import sys
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING

from talm_core.cli.call import DONE, STOPPED, Call
from talm_core.cli.output import Delayed, JsonOutput, Output, TextOutput, in_terminal
from talm_core.errors import ConfigError, InputError, Problem
from talm_core.jobs.sample.config import SampleConfig
from talm_core.runtime import control
from talm_core.runtime.context import Foreground
from talm_core.runtime.entry import share_cores
from talm_core.runtime.events import Generated
from talm_core.runtime.render import plain
from talm_core.settings.schema import build

if TYPE_CHECKING:
    from talm_core.jobs.sample.job import Session

_PIPED_SECONDS = 2.0
"""How long something may take to come through a pipe that nobody said would be read."""


def sample(call: Call) -> int:
    """The prompt, then the text as it comes; with --json every token as an event. Without a prompt
    what is piped in is continued, and on a terminal one text after the other is asked for."""
    try:
        config = build(SampleConfig, call.given.settings())
    except InputError as error:
        call.require(error.problems)
        raise
    call.require()
    if "prompt" not in call.given.values:
        if sys.stdin.isatty() and in_terminal(sys.stdout) and not call.as_json:
            return _converse(call, config)
        if _comes_by_pipe(call):
            config = config.model_copy(update={"prompt": _from_stdin()})
    elif config.prompt == "-":
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


def _comes_by_pipe(call: Call) -> bool:
    """Whether a text comes through standard input. A pipe that somebody left open and never writes
    to is not waited for."""
    try:
        descriptor = sys.stdin.fileno()
        mode = os.fstat(descriptor).st_mode
    except (OSError, ValueError, AttributeError):
        return False
    if stat.S_ISREG(mode):
        return True
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return False
    if select.select([descriptor], [], [], _PIPED_SECONDS)[0]:
        return True
    call.tell("nothing came through standard input; --prompt - waits for it")
    return False


def _from_stdin() -> str:
    """What comes through standard input, without the line break that ends a last line."""
    try:
        text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        message = f"standard input is not UTF-8: byte 0x{byte:02x} at position {error.start}"
        hint = "convert it to UTF-8 first, with iconv for example"
        raise ConfigError(Problem("prompt", message, hint=hint)) from None
    return text.removesuffix("\n").removesuffix("\r")


def _converse(call: Call, config: SampleConfig) -> int:
    """Continue one text after the other; the model is loaded once."""
    share_cores()
    # Not at the top: they load torch, and change how a terminal is read.
    from talm_core.jobs.sample.job import Session

    with suppress(ImportError):
        import readline  # noqa: F401 - gives what is typed a history
    session = Session(call.workspace)
    session.load(config)
    call.tell(f"{config.model} continues each line you type; ctrl-c stops a text, ctrl-d ends")
    for turn in count():
        try:
            prompt = input("> ")
            prompt.encode()
        except EOFError:
            call.say("")
            return DONE
        except KeyboardInterrupt:
            call.say("")
            continue
        except UnicodeError:
            call.tell("that is not UTF-8")
            continue
        with suppress(KeyboardInterrupt):
            # Another seed each time: the same line again gives another text.
            changed = {"prompt": prompt, "seed": (config.seed + turn) % 2**63}
            _continue(session, config.model_copy(update=changed))
        call.say("")
    return DONE


def _continue(session: Session, config: SampleConfig) -> None:
    sys.stdout.write(plain(config.prompt))
    for event in session.sample(config):
        if isinstance(event, Generated):
            sys.stdout.write(plain(event.text))
            sys.stdout.flush()
