"""What somebody chose about the screen: `tui.toml` in the user's configuration directory.

theme = "talm-light"
redraws_per_second = 1
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

FILE_NAME = "tui.toml"
REDRAWS = 2.0
"""How often a second a monitor is drawn again, at most; less is kinder to a slow line."""
REDRAWS_ALLOWED = (0.1, 4.0)


def directory() -> Path:
    """`$TALM_CONFIG_DIR`, else the platform's directory for configuration."""
    chosen = os.environ.get("TALM_CONFIG_DIR")
    if chosen:
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_config_dir("talm"))


@dataclass(frozen=True)
class Preferences:
    """Choices as they were read; `problem` says what could not be understood."""

    theme: str = ""
    redraws: float = REDRAWS
    problem: str = ""

    @classmethod
    def load(cls) -> Preferences:
        """Read the file; a missing one is no problem, a damaged one is one to tell of."""
        path = directory() / FILE_NAME
        try:
            text = path.read_text(encoding="utf-8")
            # Most people have no such file, and the first frame does not wait for its parser.
            import tomllib

            values = tomllib.loads(text)
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError, RecursionError) as error:
            return cls(problem=f"{path} cannot be read: {error}")
        theme, redraws = values.get("theme", ""), values.get("redraws_per_second", REDRAWS)
        problems = []
        if not isinstance(theme, str):
            theme = ""
            problems.append("cannot understand theme")
        low, high = REDRAWS_ALLOWED
        if (
            isinstance(redraws, bool)
            or not isinstance(redraws, int | float)
            or (not low <= redraws <= high)
        ):
            problems.append(f"redraws_per_second must be a number from {low} to {high}")
            redraws = REDRAWS
        problem = f"{path}: {', '.join(problems)}" if problems else ""
        return cls(theme=theme, redraws=float(redraws), problem=problem)


def save_theme(name: str) -> None:
    """Remember a theme, leaving the rest of the file and its comments as they are.

    Raises:
        OSError: the file cannot be written.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    from talm_core.storage import atomic

    path = directory() / FILE_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic.changing(path):
        try:
            document = tomlkit.parse(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            document = tomlkit.document()
        except (TOMLKitError, UnicodeDecodeError, RecursionError):
            # Somebody's file with a slip in it is not ours to overwrite.
            return
        document["theme"] = name
        atomic.write_text(path, tomlkit.dumps(document))
