"""Where the toolkit keeps what it can make again, and how content is named by its hash."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

__all__ = ["cache_folder", "content_hash"]


def cache_folder(*parts: str) -> Path:
    """A folder for what can be made again: the demo corpus, alignments, embeddings, text vectors.

    ``ANALYSIS_CACHE`` names another place than the user's cache folder. The folder is made when missing.
    """
    import platformdirs

    root = os.environ.get("ANALYSIS_CACHE") or platformdirs.user_cache_dir("wav2sem-analysis")
    folder = Path(root).expanduser().joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def content_hash(value: Any) -> str:
    """First 16 hexadecimal digits of the sha256 of ``value`` written as canonical JSON."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]
