"""The version of talm."""

from __future__ import annotations


def version() -> str:
    """The version of the installed talm; empty when it runs without being installed."""
    # Not at the top: it takes as long to import as half a command line.
    from importlib import metadata

    try:
        return metadata.version("talm")
    except metadata.PackageNotFoundError:
        return ""
