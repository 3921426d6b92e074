"""Records as no run leaves them: changed at random, in ways that once ended in a traceback."""

import copy
import json
import random

from subspace_nn.runs.record import run_id

#: Values in place of what a reader expects.
ODD = [
    None, True, -1, 0, 10**12, 10**400, 1e308, -0.0, "", "full", "x", "\x1b]0;owned\x07", "=1+1",
    "<script>alert(1)</script>", "a|b`$x$\\", "x/../../escaped", "\ud800", "\u202e", "y" * 10_000,
    [], [[]], [None], {}, {"": None}, {"a": {"b": []}}, "layerwise:orthonormal",
]  # fmt: skip

#: Bytes in place of a file.
RAW = [
    b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 5000, b"1" * 5000,
    b'{"id": NaN}', b"\x00" * 100,
]  # fmt: skip


def files(record, number, seed=0):
    """Names and bytes of files that a stranger may have put into a folder of records."""
    dice = random.Random(seed)  # noqa: S311  # no secret
    for count in range(number):
        if count % 20 == 0:
            yield f"{count:016x}.json", dice.choice(RAW)
            continue
        own = {**record["arguments"], "seed": count}
        fresh = copy.deepcopy(record) | {"arguments": own, "id": run_id(record["task"], own)}
        changed = _changed(fresh, dice)
        name = changed.get("id") if isinstance(changed, dict) else None
        known = isinstance(name, str) and name.isalnum() and len(name) == 16
        yield f"{name if known else f'{count:016x}'}.json", _bytes(changed, dice)


def _changed(record, dice):
    for _ in range(dice.randint(1, 3)):
        place = record
        while True:
            key = dice.choice(sorted(place)) if place else "new"
            if isinstance(place.get(key), dict) and dice.random() < 0.8:
                place = place[key]
                continue
            break
        if dice.random() < 0.2:
            place.pop(key, None)
        else:
            place[key if dice.random() < 0.9 else dice.choice(["D", "=x", "\x1b[2J", "a|b"])] = (
                copy.deepcopy(dice.choice(ODD))
            )
    if dice.random() < 0.7 and isinstance(record.get("arguments"), dict):
        record["id"] = run_id(record.get("task"), record["arguments"])  # a liar knows the rule
    return record


def _bytes(value, dice):
    text = json.dumps(value)
    return (text if dice.random() < 0.9 else text[: dice.randrange(len(text))]).encode()
