"""What can be set, one frozen dataclass per stage, and where the toolkit keeps its files."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from analysis.errors import ConfigurationError

__all__ = ["CORPUS_SETTINGS_THAT_DO_NOT_SET_NUMBERS", "DecoupleConfig", "cache_folder", "configuration_hash"]
