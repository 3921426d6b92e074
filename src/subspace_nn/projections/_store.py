"""Kinds that store their tables or recompute them in each product."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from subspace_nn.projections.base import Projection, RowWise

#: The value of `store` for each word after the kind's name.
_WORDS = {"stored": True, "recomputed": False}


class Storable(RowWise):
    """A kind with the option `store`, which does not change P.

    Attributes:
        store: whether tables are kept once computed.
    """

    store: bool

    @classmethod
    def parse_words(
        cls, words: Sequence[str], kinds: Mapping[str, type[Projection]]
    ) -> dict[str, Any]:
        """Parse `hashed:recomputed`, which stores nothing, or `hashed:stored`, which always stores.

        Args:
            words: "stored" or "recomputed", or no word.
            kinds: every kind by its name.

        Returns:
            `store`, if a word names it.

        Raises:
            InputError: if there is another word.
        """
        if len(words) == 1 and words[0] in _WORDS:
            return {"store": _WORDS[words[0]]}
        return super().parse_words(words, kinds)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the recipe alone."""
        return functools.partial(type(self), store=self.store), (self.D, self.dim, self.seed)
