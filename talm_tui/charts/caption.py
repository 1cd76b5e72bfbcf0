"""What stands in a chart's edges: what it shows and how, its legend, values at the cursor."""

from __future__ import annotations

import math
from collections.abc import Sequence

from talm_tui.charts import axis, plot
from talm_tui.charts.plot import Curve, View
from talm_tui.widgets.format import elapsed, short_number


def title(caption: str, view: View) -> str:
    """What is shown, over what, on which scale, how smooth, and which part of it."""
    parts = [caption, f"x {view.x}", "y log" if view.log else "y linear"]
    parts.append(f"smooth {view.beta:g}" if view.beta else "raw")
    if view.span is not None:
        parts.append("zoomed" if view.right is None else "held")
    return "  ".join(filter(None, parts))


def legend(curves: Sequence[Curve], view: View) -> str:
    """The glyphs of a run's own curves."""
    parts = []
    for curve in curves:
        if curve.letter:
            continue
        if curve.marker:
            parts.append(f"{curve.marker} {curve.label}")
        elif view.beta and curve.smooth:
            parts.append(f"⠒ {curve.label}  ━ smoothed")
        else:
            parts.append(f"━ {curve.label}")
    return "  ".join(parts)


def reading(curves: Sequence[Curve], view: View) -> str:
    """The values of a run's own curves at the cursor; empty without a cursor."""
    if view.cursor is None:
        return ""
    found = plot.readings([curve for curve in curves if not curve.letter], view)
    if not found:
        return ""
    parts = [f"{view.x} {_x_text(found[0].x, view.kind)}"]
    for item in found:
        value = f"{item.y:.4g}" if math.isfinite(item.y) else str(item.y)
        text = f"{item.label} {value}"
        if item.x != found[0].x:
            text += f" (at {_x_text(item.x, view.kind)})"
        if item.average is not None and math.isfinite(item.average):
            text += f"  smoothed {item.average:.4g}"
        parts.append(text)
    return "  ".join(parts)


def _x_text(x: float, kind: axis.Kind) -> str:
    if kind == "clock":
        return elapsed(x)
    return f"{x:,.0f}" if kind == "whole" else short_number(x)
