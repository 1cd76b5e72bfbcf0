"""The page that `--serve` sends: textual-serve's own, with a title, and with the keyboard.

Its terminal takes no key before somebody has clicked into it, and says nothing of that.
"""

from __future__ import annotations

import re

TITLE = "talm"
HINT = "Keys do not reach talm now: click here, or press any key."

_HEAD = f"""\
<meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <title>{TITLE}</title>
    <style>
      #talm-hint {{
        display: none; position: fixed; bottom: 0; left: 0; right: 0; z-index: 5;
        padding: 4px 12px; text-align: center; cursor: pointer;
        font: 14px menlo, monospace; color: #0c181f; background: #f5c26b;
      }}
      body.-first-byte.-no-keys:not(.-closed) #talm-hint {{ display: block; }}
    </style>"""

_BODY = f"""\
<div id="talm-hint" role="status">{HINT}</div>
    <noscript>talm needs JavaScript in this browser.</noscript>
    <script>
      (function () {{
        // Where the terminal reads keys; it is there once the terminal is.
        function keyboard() {{ return document.querySelector(".xterm-helper-textarea"); }}
        function hasKeys() {{ return document.activeElement === keyboard(); }}
        function take() {{ const found = keyboard(); if (found) found.focus(); return !!found; }}
        function show() {{ document.body.classList.toggle("-no-keys", !hasKeys()); }}
        const waiting = setInterval(function () {{
          if (take()) {{ clearInterval(waiting); show(); }}
        }}, 50);
        window.addEventListener("focus", take);
        document.addEventListener("focusin", show);
        document.addEventListener("focusout", function () {{ setTimeout(show, 100); }});
        document.getElementById("talm-hint").addEventListener("click", take);
        // The key that brings the focus back is not lost: the terminal hears it from here on.
        document.addEventListener("keydown", function (event) {{
          if (!hasKeys() && !event.ctrlKey && !event.metaKey && !event.altKey) take();
        }}, true);
      }})();
    </script>
  </body>"""


def shaped(page: str) -> str:
    """The page with a title, the focus where keys are read, and a hint while it is elsewhere."""
    # A font from elsewhere would tell another server who is here, and is refused anyway.
    page = re.sub(r"<link[^>]+fonts\.googleapis\.com[^>]+/>\s*", "", page)
    page = page.replace("<html>", '<html lang="en">', 1)
    page = page.replace("<head>", f"<head>\n    {_HEAD}", 1)
    return page.replace("</body>", _BODY, 1)
