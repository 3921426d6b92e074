"""A second implementation of the specification, in plain Python integers and without torch."""

import itertools
import math
from fractions import Fraction


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


def reference_fwht(x):
    """The transform of a list, each stage as the specification orders its sums."""
    x, distance = list(x), 1
    while distance < len(x):
        for i in range(len(x)):
            if not i & distance:
                total = x[i] + x[i + distance]
                x[i], x[i + distance] = total, total - 2 * x[i + distance]
        distance *= 2
    return x


def reference_sign(seed, stream, index):
    return 1 - 2 * (reference_word(seed, stream, index // 64) >> (index % 64) & 1)


def reference_rows(D, dim, seed, kind, n, core):
    """P as rows, from the columns of a core that maps a list of min(d, n) numbers to n."""
    columns = []
    for k in range(dim):
        y = [float(j == k) for j in range(dim)]
        if dim > n:
            y = core(y[:n]) + y[n:]
            y = [a * reference_sign(seed, f"{kind}/middle", i) for i, a in enumerate(y)]
            y = y[: dim - n] + core(y[dim - n :])
        else:
            y = core(y)
        shared = D - len(y)
        y = [a * math.sqrt(1 / 2) for a in y[:shared]] + y[shared:]
        columns.append([reference_sign(seed, f"{kind}/sign", i) * y[i % len(y)] for i in range(D)])
    return [list(row) for row in zip(*columns, strict=True)]


def reference_hadamard(D, dim, seed):
    """P as rows of numbers."""
    n = 2 ** math.floor(math.log2(D))
    d = min(dim, n)
    chosen = []
    for k in range(d):
        low, high = k * n // d, (k + 1) * n // d
        chosen.append(low + (reference_word(seed, "hadamard/column", k) >> 1) % (high - low))

    def core(omega):
        y = [0.0] * n
        for column, number in zip(chosen, omega, strict=True):
            y[column] = number * (1 / math.sqrt(n))
        return reference_fwht(y)

    return reference_rows(D, dim, seed, "hadamard", n, core)


def reference_kronecker(D, dim, seed):
    """P as rows of numbers."""
    D1 = math.isqrt(D)
    D2 = D // D1
    d = min(dim, D1 * D2)
    pairs = [(a, math.ceil(d / a)) for a in range(math.isqrt(d) // 4 + 1, D1 + 1)]
    pairs = [(a, b) for a, b in pairs if a < math.sqrt(d) + 1 and b <= D2]
    d1, d2 = min(pairs, key=lambda p: (p[0] * p[1], max(p), p[0]))
    factors = []
    for name, rows, width in ((1, D1, d1), (2, D2, d2)):
        R = [
            [reference_normal(seed, f"kronecker/{name}", i * width + j) for j in range(width)]
            for i in range(rows)
        ]
        for _ in range(3):
            R = _gram_schmidt([[a / math.hypot(*row) for a in row] for row in R])
        factors.append(R)
    one, two = factors

    def core(omega):
        return [
            math.fsum(a[k // d2] * b[k % d2] * number for k, number in enumerate(omega))
            for a in one
            for b in two
        ]

    return reference_rows(D, dim, seed, "kronecker", D1 * D2, core)


def _gram_schmidt(rows):
    columns = []
    for column in zip(*rows, strict=True):
        rest = column
        for done in columns * 2:  # the second time for the digits that the first one lost
            along = math.fsum(a * b for a, b in zip(rest, done, strict=True))
            rest = [a - along * b for a, b in zip(rest, done, strict=True)]
        norm = math.hypot(*rest)
        columns.append([a / norm for a in rest])
    return [list(row) for row in zip(*columns, strict=True)]


def reference_fastfood(D, dim, seed):
    """P as rows of numbers."""
    b = 1
    while b < dim:
        b *= 2
    rows = []
    for start in range(0, D, b):
        places = range(start, start + b)
        words = [reference_word(seed, "fastfood/permutation", i) for i in places]
        order = sorted(range(b), key=lambda i, words=words: (words[i] + 2**63) % 2**64)
        gauss = [reference_normal(seed, "fastfood/gauss", i) for i in places]
        size = math.sqrt(sum(g * g for g in gauss) / b)
        gauss = [g / size for g in gauss] if b > 1 else [1.0]
        columns = []
        for j in range(dim):
            x = [0.0] * b
            x[j] = reference_sign(seed, "fastfood/sign", start + j)
            x = reference_fwht(x)
            columns.append(reference_fwht([x[i] * g for i, g in zip(order, gauss, strict=True)]))
        rows += [[a / b * math.sqrt(b / D) for a in row] for row in zip(*columns, strict=True)]
    return rows[:D]


def reference_orthonormal(D, dim, seed, anchor=None):
    """P as rows of numbers."""
    rows = [
        [reference_normal(seed, "orthonormal", i * dim + j) for j in range(dim)] for i in range(D)
    ]
    if anchor is not None:
        rows = [[a, *row[1:]] for a, row in zip(anchor, rows, strict=True)]
    return _gram_schmidt(rows)


def reference_identity(D):
    """P as rows of numbers."""
    return [[float(i == j) for j in range(D)] for i in range(D)]


def reference_groups(tensors, group):
    """The number of weights of each group of tensors, by the rule of its name."""
    sizes, before = [], None
    for name, size in tensors.items():
        parts = name.split(".")
        layer = (
            parts[:-1]
            if group == "layer"
            else parts[:-1][: int(group)]
            if group != "tensor"
            else parts
        )
        if layer == before:
            sizes[-1] += size
        else:
            sizes.append(size)
        before = layer
    return [size for size in sizes if size]


def reference_shares(dim, sizes, weights):
    """Parameters of each group: of all ways to be at a bound or free the one that fits together."""
    groups = list(zip(sizes, weights, strict=True))
    for state in itertools.product(("one", "free", "all"), repeat=len(groups)):
        held = sum(
            {"one": 1, "free": 0, "all": n}[s] for s, (n, _) in zip(state, groups, strict=True)
        )
        free = sum(w for s, (_, w) in zip(state, groups, strict=True) if s == "free")
        # λ is at least the lowest and at most the highest of these.
        low = [
            Fraction(n if s == "all" else 1, w)
            for s, (n, w) in zip(state, groups, strict=True)
            if s != "one"
        ]
        high = [
            Fraction(n if s == "free" else 1, w)
            for s, (n, w) in zip(state, groups, strict=True)
            if s != "all"
        ]
        level = Fraction(dim - held, free) if free else max(low, default=Fraction(0))
        if (free or held == dim) and all(a <= level for a in low) and all(level <= b for b in high):
            break
    quotas = [min(max(level * w, Fraction(1)), Fraction(n)) for n, w in groups]
    dims = [math.floor(quota) for quota in quotas]
    order = sorted(range(len(groups)), key=lambda g: (dims[g] - quotas[g], g))
    for g in order[: dim - sum(dims)]:
        dims[g] += 1
    return dims


def reference_layerwise(dim, seed, sizes, of, share="weights"):
    """P as rows of numbers; `of` is the reference of the groups' kind."""
    weight = {"weights": int, "root": lambda n: math.isqrt(n * 2**40), "equal": lambda _: 1}[share]
    dims = reference_shares(dim, sizes, [weight(n) for n in sizes])
    rows, before = [], 0
    for g, (n, d) in enumerate(zip(sizes, dims, strict=True)):
        block = of(n, d, reference_word(seed, "layerwise", g))
        rows += [[0.0] * before + row + [0.0] * (dim - before - d) for row in block]
        before += d
    return rows
