"""Kinds whose tables are kept, or made again in each product: what they share."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from subspace_nn.projections.base import Projection, RowWise

#: What a word after the kind's name says of `store`.
_WORDS = {"stored": True, "recomputed": False}


class Storable(RowWise):
    """A kind that is made with `store`; P is the same with it and without.

    Attributes:
        store: whether what was computed is kept.
    """

    store: bool

    @classmethod
    def parse_words(
        cls, words: Sequence[str], kinds: Mapping[str, type[Projection]]
    ) -> dict[str, Any]:
        """`hashed:recomputed` keeps nothing, `hashed:stored` keeps its tables at any size.

        Args:
            words: "stored", "recomputed", or none.
            kinds: every kind by its name.

        Returns:
            `store`, if it is named.

        Raises:
            InputError: if there is another word.
        """
        if len(words) == 1 and words[0] in _WORDS:
            return {"store": _WORDS[words[0]]}
        return super().parse_words(words, kinds)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the recipe alone."""
        return functools.partial(type(self), store=self.store), (self.D, self.dim, self.seed)
