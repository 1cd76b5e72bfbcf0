from __future__ import annotations

from pathlib import Path

from talm_core.settings.reference import page
from talm_core.settings.schema import settings_of
from talm_core.settings.toml import config_classes

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_in_docs_is_the_one_the_declarations_give() -> None:
    assert (DOCS / "settings.md").read_text(encoding="utf-8") == page(), "run `make reference`"


def test_every_setting_has_a_row() -> None:
    text = page()
    for config in config_classes().values():
        for item in settings_of(config):
            assert f"| `{item.key}` | `" in text
