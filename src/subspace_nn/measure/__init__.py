"""How many parameters does a model need: the intrinsic dimension of a task, with its interval."""

from subspace_nn.measure.catalogue import (
    KNOWN,
    Known,
    Published,
    command,
    published,
    question,
    title,
)
from subspace_nn.measure.measurement import Answer, Progress, answers, measure
from subspace_nn.measure.question import Question

__all__ = [
    "KNOWN",
    "Answer",
    "Known",
    "Progress",
    "Published",
    "Question",
    "answers",
    "command",
    "measure",
    "published",
    "question",
    "title",
]
