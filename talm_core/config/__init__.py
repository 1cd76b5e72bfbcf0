"""Every setting of every job, declared once.

A field of a model below carries its name, type, default, range and, in `Setting`, everything a
person needs to choose it: section, unit, one line of help, typical values. The command-line flag,
the form field, the TOML key, the validation message and the reference page derive from it
(`talm_core.settings`). Nothing here reads files or loads anything heavy; what depends on the
workspace is checked in `talm_core.preflight`.
"""

from talm_core.config.data import DataConfig
from talm_core.config.export import ExportConfig
from talm_core.config.pretrain import PretrainConfig
from talm_core.config.quickstart import QuickstartConfig
from talm_core.config.sample import SampleConfig
from talm_core.config.tokenizer import MOST_READ, SPECIAL_TOKENS, TokenizerConfig
from talm_core.config.toml import CONFIG_VERSION, CONFIGS, dumps, loads

__all__ = [
    "CONFIGS",
    "CONFIG_VERSION",
    "MOST_READ",
    "SPECIAL_TOKENS",
    "DataConfig",
    "ExportConfig",
    "PretrainConfig",
    "QuickstartConfig",
    "SampleConfig",
    "TokenizerConfig",
    "dumps",
    "loads",
]
