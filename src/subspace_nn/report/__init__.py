"""From records to tables, figures, and one page."""

from subspace_nn.report.curve import curve
from subspace_nn.report.figures import png, svg
from subspace_nn.report.page import page

__all__ = ["curve", "page", "png", "svg"]
