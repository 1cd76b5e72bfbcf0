"""How talm looks: two themes of its own, and where its styles lie."""

from __future__ import annotations

from pathlib import Path

from textual.theme import Theme

DARK = "talm-dark"
LIGHT = "talm-light"

SERIES = 6
"""How many colours tell series apart: `$series-1` to `$series-6`. They keep apart for every kind
of colour vision (after Okabe and Ito, https://jfly.uni-koeln.de/color/); a glyph goes with each,
so that nothing depends on colour alone."""

_DARK_SERIES = ("#58b2ee", "#f0a020", "#2fc9a0", "#e885bb", "#f2e35c", "#e8743a")
_LIGHT_SERIES = ("#0b62a8", "#a85f00", "#00765a", "#a03a76", "#756500", "#b23f00")


def series(*, dark: bool) -> dict[str, str]:
    """The variables for the colours of series on a dark or a light background."""
    colours = _DARK_SERIES if dark else _LIGHT_SERIES
    return {f"series-{number}": colour for number, colour in enumerate(colours, 1)}


def themes() -> tuple[Theme, Theme]:
    """The dark and the light theme."""
    dark = Theme(
        name=DARK,
        primary="#58b2ee",
        secondary="#8fa8bf",
        accent="#f0a020",
        foreground="#d7dde4",
        background="#10151b",
        surface="#161d25",
        panel="#1d2630",
        success="#2fc9a0",
        warning="#f0c04a",
        error="#f2705a",
        dark=True,
        variables=series(dark=True)
        | {
            "border": "#46586a",
            "border-blurred": "#33414e",
            "footer-background": "#1d2630",
            "footer-key-foreground": "#f0a020",
            "input-selection-background": "#58b2ee 35%",
        },
    )
    light = Theme(
        name=LIGHT,
        primary="#0b62a8",
        secondary="#48607a",
        accent="#955200",
        foreground="#1a222b",
        background="#f7f8fa",
        surface="#eef1f4",
        panel="#e2e7ec",
        success="#00765a",
        warning="#8a6500",
        error="#b3261e",
        dark=False,
        variables=series(dark=False)
        | {
            "border": "#8fa1b3",
            "border-blurred": "#c2ccd6",
            "footer-background": "#e2e7ec",
            "footer-key-foreground": "#955200",
            "input-selection-background": "#0b62a8 25%",
        },
    )
    return dark, light


def styles(name: str) -> Path:
    """The style sheet of that name: beside the package in a checkout, inside it when installed."""
    package = Path(__file__).parents[1]
    file = package / "styles" / f"{name}.tcss"
    return file if file.exists() else package.parent / "styles" / f"{name}.tcss"
