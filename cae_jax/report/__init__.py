"""Records to pictures, tables and pages. Nothing here computes results or knows models."""

from cae_jax.report.benchmark_page import Section, render_benchmark
from cae_jax.report.grids import picture_grid
from cae_jax.report.page import Page
from cae_jax.report.strips import class_name, draw_explanation
from cae_jax.report.tables import metrics_table

__all__ = ["Page", "Section", "class_name", "draw_explanation", "metrics_table", "picture_grid", "render_benchmark"]
