"""A page on which a few trained numbers read handwriting: `subspace-nn play`."""

from subspace_nn.play.page import look, packaged, page

__all__ = ["look", "packaged", "page"]
