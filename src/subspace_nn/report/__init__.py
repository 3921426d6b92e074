"""From records to tables, figures, and one page."""

from subspace_nn.report.curve import curve
from subspace_nn.report.theme import png, svg

__all__ = ["curve", "png", "svg"]
