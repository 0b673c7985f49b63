"""Turns result records into pictures, tables and HTML pages. Nothing here computes results or knows models."""

from cae_jax.report.comparison_page import Section, comparison_page
from cae_jax.report.explanation_page import ExplanationPage
from cae_jax.report.pictures import picture_grid
from cae_jax.report.strips import class_name, draw_explanation
from cae_jax.report.tables import metrics_table

__all__ = [
    "ExplanationPage",
    "Section",
    "class_name",
    "comparison_page",
    "draw_explanation",
    "metrics_table",
    "picture_grid",
]
