"""`talm-tui`: the screen of talm."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the app; returns the exit code."""
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
    parser.add_argument(
        "--write-keymap",
        action="store_true",
        help="make a keymap.toml of all actions and their keys, to change them, and end",
    )
    parser.add_argument("--version", action="store_true", help="print the version and end")
    options = parser.parse_args(arguments)
    if options.version:
        from importlib.metadata import version

        sys.stdout.write(f"talm {version('talm')}\n")
        return 0
    if options.write_keymap:
        return _write_keymap()
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        sys.stderr.write("talm-tui needs a terminal; without one: talm quickstart, talm --help\n")
        return 2
    from talm_tui import preferences
    from talm_tui.app import TalmApp
    from talm_tui.terminal import own_terminal

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


def _write_keymap() -> int:
    from talm_tui import keymap

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
