"""`talm-tui`: the screen of talm."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from talm_core.errors import ConfigError
from talm_core.jobs.registry import specs
from talm_core.runtime.standard_streams import guarded


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the app; returns the exit code."""
    return guarded("talm-tui", lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.version:
        from importlib.metadata import version

        sys.stdout.write(f"talm {version('talm')}\n")
        return 0
    if options.write_keymap:
        return _write_keymap()
    if not _has_home(options.workspace):
        return 2
    if options.serve:
        return _serve(options)
    if (options.host, options.port, options.pages) != (None, None, None):
        parser.error("--host, --port and --pages belong to --serve")
    in_browser = os.environ.get("TEXTUAL_DRIVER", "").endswith(":WebDriver")
    if in_browser:
        from talm_tui.parent import end_with_server

        end_with_server()
    if not in_browser and not (sys.stdin.isatty() and sys.stderr.isatty()):
        sys.stderr.write("talm-tui needs a terminal; without one: talm quickstart, talm --help\n")
        return 2
    try:
        specs()
    except ConfigError as error:
        sys.stderr.write(f"talm-tui: {error}\n")
        return 2
    # What is made until the first frame stays; the app looks for rubbish from then on.
    gc.disable()
    from talm_tui.app import TalmApp
    from talm_tui.shell import preferences
    from talm_tui.shell.terminal import own_terminal

    if not in_browser:
        for name in ("COLUMNS", "LINES"):
            # Exported by some shells; they would be believed instead of the terminal for ever.
            os.environ.pop(name, None)
    # A thread that reads journals or looks at files must not hold a key back: the interpreter is
    # taken from it after one millisecond instead of five.
    sys.setswitchinterval(0.001)
    with own_terminal(preferences.directory()):
        app = TalmApp(options.workspace)
        app.run()
    return app.return_code or 0


def _has_home(workspace: Path | None) -> bool:
    """Whether the home is there that the workspace lies in; says so where it is not."""
    data = os.environ.get("TALM_HOME") or os.environ.get("XDG_DATA_HOME") or "~"
    try:
        (workspace or Path(data)).expanduser()
    except RuntimeError:
        # Loaded only now: it takes as long as the first frame.
        from talm_core.errors import WorkspaceError
        from talm_core.storage.workspace import Workspace

        try:
            Workspace(workspace)
        except WorkspaceError as error:
            sys.stderr.write(f"talm-tui: {error}\n")
            return False
    return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="talm-tui", description="Train a language model of your own, in the terminal."
    )
    parser.add_argument(
        "--workspace",
        type=Path,
        default=None,
        metavar="DIR",
        help="where tokenizers, datasets and models live (default: $TALM_HOME)",
    )
    parser.add_argument("--serve", action="store_true", help="show the app in a browser")
    parser.add_argument(
        "--host",
        default=None,
        metavar="ADDRESS",
        help="where to serve it (default: 127.0.0.1, this machine alone)",
    )
    parser.add_argument(
        "--port", type=_port, default=None, help="the port (default: 8000; 0: any that is free)"
    )
    parser.add_argument(
        "--pages",
        type=_pages,
        default=None,
        help="how many pages may be open at a time (default: 10, of some 50 MB each)",
    )
    parser.add_argument(
        "--write-keymap",
        action="store_true",
        help="make a keymap.toml of all actions and their keys, to change them, and end",
    )
    parser.add_argument("--version", action="store_true", help="print the version and end")
    return parser


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: a whole number, 0 to 65535")
    return int(text)


def _pages(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text) <= 100):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of pages: 1 to 100")
    return int(text)


def _serve(options: argparse.Namespace) -> int:
    from talm_tui import web

    command = [sys.executable, "-P", "-m", "talm_tui"]
    if options.workspace is not None:
        command += ["--workspace", str(options.workspace.expanduser().absolute())]
    host = options.host or web.HOST
    port = web.PORT if options.port is None else options.port
    return web.serve(command, host, port, options.pages or web.PAGES)


def _write_keymap() -> int:
    from talm_tui.shell import keymap

    try:
        path = keymap.write()
    except FileExistsError:
        sys.stderr.write(f"{keymap.path()} is there already\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"{keymap.path()} cannot be written: {error}\n")
        return 1
    sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
