"""Which of two animations do people prefer: a static page that asks, and the analysis of what they answered."""

from __future__ import annotations

from analysis.face.study.answers import StudyResult, analyse, read_answers
from analysis.face.study.page import Item, make_study, read_items

__all__ = ["Item", "StudyResult", "analyse", "make_study", "read_answers", "read_items"]
