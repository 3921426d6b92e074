"""How many parameters does a model need: the intrinsic dimension of a task, with its interval."""

from subspace_nn.dimension.answer import Answer, Answers, answers
from subspace_nn.dimension.baseline import Baseline
from subspace_nn.dimension.catalogue import (
    KNOWN,
    Known,
    Published,
    command,
    label,
    published,
    question,
    title,
)
from subspace_nn.dimension.measurement import BUDGET, Progress, answer_from, check, measure
from subspace_nn.dimension.question import Question

__all__ = [
    "BUDGET",
    "KNOWN",
    "Answer",
    "Answers",
    "Baseline",
    "Known",
    "Progress",
    "Published",
    "Question",
    "answer_from",
    "answers",
    "check",
    "command",
    "label",
    "measure",
    "published",
    "question",
    "title",
]
