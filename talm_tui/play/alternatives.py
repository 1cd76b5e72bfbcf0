"""The token under the cursor: how likely it was, and what else the model thought of."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from talm_tui.play.token_view import Token, level, visible

WORDS = ("very unlikely", "unlikely", "one of several", "likely", "nearly certain")
"""What the levels of `token_view.level` mean."""

_STYLES = ("bold underline $accent", "underline $accent", "", "$primary 85%", "$primary 70%")


def readout(token: Token | None) -> Content:
    """In one line: `"return"  p 0.41   next best:  "raise" 0.22  "self" 0.09`."""
    if token is None:
        return Content.styled(
            "The probability of the selected token is shown here.", "$foreground 55%"
        )
    parts: list[str | tuple[str, str]] = [(visible(token.text), "bold"), f"  {_said(token)}"]
    others = [(text, p) for text, p in token.alternatives if text != token.text]
    if others:
        parts.append(("   next best:  ", "$foreground 60%"))
        parts.append("  ".join(f"{visible(text)} {p:.2f}" for text, p in others[:6]))
    return Content.assemble(*parts)


def _said(token: Token) -> str:
    return f"p {token.probability:.2f}" if token.probability >= 0.005 else "p < 0.01"


class Alternatives(Static):
    """The same as a small table with bars; before there is a token, what the colours mean."""

    def __init__(self) -> None:
        super().__init__("", id="play-alternatives", markup=False)
        self.token: Token | None = None

    def on_mount(self) -> None:
        self.show(None)

    def on_resize(self) -> None:
        self.show(self.token)

    def show(self, token: Token | None) -> None:
        """Show another token."""
        self.token = token
        width = max(12, self.content_size.width)
        if token is None:
            self.border_title = Content("how likely each token was")
            lines = [
                Content.assemble(("token", style), f"  {word}")
                for style, word in zip(_STYLES, WORDS, strict=True)
            ]
        else:
            self.border_title = Content(f"{_said(token)}  {WORDS[level(token.probability)]}")
            lines = [self._row(text, p, token, width) for text, p in self._rows(token)]
        self.update(Content("\n").join(lines))

    @staticmethod
    def _rows(token: Token) -> list[tuple[str, float]]:
        """The alternatives and, where it is none of them, the token itself at the end."""
        rows = list(token.alternatives)
        if token.text not in (text for text, _ in rows):
            rows.append((token.text, token.probability))
        return rows

    @staticmethod
    def _row(text: str, probability: float, token: Token, width: int) -> Content:
        chosen = text == token.text
        room = max(1, width // 2 - 4)
        name = Content(visible(text)).truncate(room, ellipsis=True)
        length = width - room - 8
        bar = "━" * round(max(0.0, min(1.0, probability)) * length)
        return Content.assemble(
            ("▸ " if chosen else "  ", "bold"),
            name.stylize("bold") if chosen else name,
            " " * (room - name.cell_length + 1),
            (bar.ljust(length), "$accent" if chosen else "$primary"),
            f" {probability:.2f}",
        )
