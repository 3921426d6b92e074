"""A second implementation of the specification, in plain Python integers and without torch."""

import math


def reference_mix(x):
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)


def reference_word(seed, stream, index):
    fnv = 0xCBF29CE484222325
    for byte in stream.encode():
        fnv = (fnv ^ byte) * 0x100000001B3 % 2**64
    key = reference_mix((reference_mix(seed) + fnv) % 2**64)
    return reference_mix((key + (index + 1) * 0x9E3779B97F4A7C15) % 2**64)


def reference_hashed(D, dim, seed):
    """P as {weight: (parameter, value)}, from the words alone."""
    parameters = []
    for block in range(math.ceil(D / dim)):
        trial = 0
        while True:
            a = (reference_word(seed, f"hashed/multiplier/{trial}", block) >> 1) % dim
            if math.gcd(a, dim) == 1:
                break
            trial += 1
        c = (reference_word(seed, "hashed/offset", block) >> 1) % dim
        parameters += [(a * place + c) % dim for place in range(dim)]
    parameters = parameters[:D]
    counts = [parameters.count(k) for k in range(dim)]
    rows = []
    for weight, k in enumerate(parameters):
        bit = reference_word(seed, "hashed/sign", weight // 64) >> (weight % 64) & 1
        rows.append((k, (-1) ** bit / math.sqrt(counts[k])))
    return rows


def reference_gaussian(D, dim, seed):
    """P as rows of numbers."""
    rows = [[reference_normal(seed, "gaussian", i * dim + j) for j in range(dim)] for i in range(D)]
    norms = [math.sqrt(math.fsum(g * g for g in column)) for column in zip(*rows, strict=True)]
    return [[g / norm for g, norm in zip(row, norms, strict=True)] for row in rows]


def reference_normal(seed, stream, index):
    word = reference_word(seed, stream, index // 2)
    radius = math.sqrt(-2 * math.log((word // 2**32 + 0.5) / 2**32))
    angle = 2 * math.pi * (word % 2**32) / 2**32
    return radius * (math.sin(angle) if index % 2 else math.cos(angle))


def reference_sparse(D, dim, seed):
    """P as [[(parameter, value), …] for each weight]."""
    s = 1
    while (2 * s + 1) ** 2 * D <= 4 * dim**2:  # s + 1/2 ≤ d / √D
        s += 1
    rows = [[] for _ in range(D)]
    for group in range(s):
        begin, end = group * dim // s, (group + 1) * dim // s
        own = reference_hashed(D, end - begin, reference_word(seed, "sparse", group))
        for row, (k, value) in zip(rows, own, strict=True):
            row.append((begin + k, value))
    return rows
