"""Syllables, near-homophones and what the lips show of them: inventories, features, visemes, lexicons, tokens and pairs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from analysis.phonology.types import COMPOSITION_COLUMNS, PAIR_CLASSES, PAIR_COLUMNS, RELATIONS, TOKEN_COLUMNS, Syllable

# Name -> module that defines it; imported when first asked for, so that `import analysis.phonology` stays quick.
_LAZY = {
    "Forms": "mining",
    "Inventory": "inventory",
    "Lexicon": "lexicon",
    "PairTable": "tables",
    "Phone": "inventory",
    "TokenTable": "tables",
    "compose": "composition",
    "composed": "composition",
    "composition_sentences": "composition",
    "composition_table": "composition",
    "edit_class": "pairs",
    "flag_synonyms": "synonyms",
    "iter_near_pairs": "mining",
    "legal_onsets": "syllabification",
    "lexicon_folder": "analysis.alignment.lexicon_files",
    "lip_features": "visemes",
    "lip_weights": "pairs",
    "load_inventory": "inventory",
    "load_lexicon": "lexicon",
    "load_pairs": "pairs",
    "load_visemes": "visemes",
    "near_homophones": "near",
    "near_pairs": "mining",
    "pair_lists": "pairs",
    "pair_table": "pairs",
    "pronunciations": "lexicon",
    "read_token_table": "tokens",
    "segment_features": "features",
    "syllabify": "syllabification",
    "syllables": "syllabification",
    "token_table": "tokens",
    "viseme_maps": "visemes",
    "weighted_distance": "pairs",
    "with_words": "words",
    "write_pairs": "pairs",
}

__all__ = ["COMPOSITION_COLUMNS", "PAIR_CLASSES", "PAIR_COLUMNS", "RELATIONS", "TOKEN_COLUMNS", "Syllable", *_LAZY]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        module = _LAZY[name]
        return getattr(import_module(module if "." in module else f"analysis.phonology.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
