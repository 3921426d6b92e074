"""A second reader of checkpoints: from a file to the label of an image, in plain Python.

Written from docs/format.md and docs/bits.md alone. It takes nothing of the package, of PyTorch or
of NumPy, so what it gets right is in the pages. For files whose θ0 is drawn and whose P is
`hashed`, it gives θ to the bit.
"""

import hashlib
import itertools
import json
import math
import re
import struct
from collections import Counter
from pathlib import Path

from tests.reference import reference_hashed, reference_word

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "format.md").read_text("utf-8")

#: struct's letter of a dtype.
LETTERS = {"F64": "d", "F32": "f", "F16": "e"}

#: The dtypes by their names in PyTorch, in the order in which a file has its tensors.
DTYPES = {
    "U64": "uint64", "I64": "int64", "F64": "float64", "C64": "complex64", "F32": "float32",
    "U32": "uint32", "I32": "int32", "BF16": "bfloat16", "F16": "float16", "U16": "uint16",
    "I16": "int16", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "I8": "int8",
    "U8": "uint8", "BOOL": "bool",
}  # fmt: skip


def rounded(number, dtype="float32"):
    """The nearest number of a dtype, of two equally near the even one."""
    if dtype == "float64":
        return number
    if dtype == "bfloat16":  # the upper half of a float32; exact for what is a float32 before
        (word,) = struct.unpack("<I", struct.pack("<f", number))
        word += 0x7FFF + (word >> 16 & 1)
        return struct.unpack("<f", struct.pack("<I", word >> 16 << 16))[0]
    letter = {"float32": "<f", "float16": "<e"}[dtype]
    return struct.unpack(letter, struct.pack(letter, number))[0]


def digits(*parts):
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def float64_bytes(numbers):
    return struct.pack(f"<{len(numbers)}d", *numbers)


# The file.


def read(content):
    """The specification, and (dtype, shape, bytes) of each tensor; the digest is verified."""
    if content[:4] == b"SNN\2":
        return read_compact(content)
    (length,) = struct.unpack("<Q", content[:8])
    header, payload = json.loads(content[8 : 8 + length]), content[8 + length :]
    text = header.pop("__metadata__")["subspace_nn"]
    spec = json.loads(text)
    assert text == canonical(spec)
    tensors = {}
    for name, stated in header.items():
        begin, end = stated["data_offsets"]
        tensors[name] = stated["dtype"], tuple(stated["shape"]), payload[begin:end]
    assert spec.pop("digest") == digest(spec, tensors)
    return spec, tensors


#: The fields that a compact file leaves out, and those that it has as bytes.
USUAL = {
    "format": 2, "omega": "coded", "projection": "hashed/1", "seed": 0, "theta0_from": "seed/1",
}  # fmt: skip
BYTES = ("P", "architecture", "digest", "theta0")


def read_compact(content):
    end = 6 + int.from_bytes(content[4:6], "little")
    own, omega = json.loads(content[6:end]), content[end + 32 :]
    assert content[6:end] == canonical(own).encode()
    assert not any(USUAL.get(name) == value for name, value in own.items())
    spec = USUAL | own
    spec |= {name: content[end + 8 * i :][:8].hex() for i, name in enumerate(BYTES)}
    tensors = {"omega": ("U8", (len(omega),), omega)}
    assert spec.pop("digest") == digest(spec, tensors)
    return spec, tensors


def write_compact(spec, tensors):
    """As `write`, to the bytes of a compact file."""
    spec = {**spec, "digest": digest(spec, tensors)}
    own = {n: v for n, v in spec.items() if n not in BYTES and USUAL.get(n) != v}
    text = canonical(own).encode()
    known = b"".join(bytes.fromhex(spec[name]) for name in BYTES)
    return b"SNN\2" + struct.pack("<H", len(text)) + text + known + tensors["omega"][2]


def write(spec, tensors):
    """The whole file: what `read` returns, to bytes, in the order of the page."""
    spec = {**spec, "digest": digest(spec, tensors)}
    header, place = {"__metadata__": {"subspace_nn": canonical(spec)}}, 0
    ranks = list(DTYPES)
    order = sorted(tensors, key=lambda name: (ranks.index(tensors[name][0]), name.encode()))
    for name in order:
        dtype, shape, content = tensors[name]
        end = place + len(content)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [place, end]}
        place = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(tensors[name][2] for name in order)


def canonical(spec):
    return json.dumps(spec, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest(spec, tensors):
    parts = [canonical(spec).encode()]
    for name in sorted(tensors):
        dtype, shape, content = tensors[name]
        parts += [f"{name} torch.{DTYPES[dtype]} {shape}".encode(), content]
    return digits(*parts)


def numbers(dtype, content):
    if dtype == "BF16":
        halves = struct.unpack(f"<{len(content) // 2}H", content)
        return [struct.unpack("<f", struct.pack("<I", half << 16))[0] for half in halves]
    letter = LETTERS[dtype]
    return list(struct.unpack(f"<{len(content) // struct.calcsize(letter)}{letter}", content))


def packed(values, dtype):
    """The bytes of numbers that are of the dtype."""
    if dtype == "bfloat16":
        return b"".join(struct.pack("<f", value)[2:] for value in values)
    letter = {"float64": "d", "float32": "f", "float16": "e"}[dtype]
    return struct.pack(f"<{len(values)}{letter}", *values)


def omega_of(spec, tensors):
    dtype, _, content = tensors["omega"]
    if spec.get("omega") == "coded":
        return decoded(content, spec["dim"])
    if spec.get("omega") in {"int8", "int4"}:
        return unpacked(content, spec["dim"], spec["omega"])
    return numbers(dtype, content)


def decoded(content, dim):
    """A step of bfloat16, and codes under an adaptive arithmetic code."""
    levels, (step,) = content[0] + 1, numbers("BF16", content[1:3])
    code = itertools.chain(content[3:], itertools.repeat(0))
    value, span = int.from_bytes(bytes(_take(code, 4)), "big"), 2**32 - 1
    counts, omega = [1] * levels, []
    for _ in range(dim):
        unit = span // sum(counts)
        ends = list(itertools.accumulate(counts))
        symbol = next((k for k in range(levels) if value // unit < ends[k]), levels - 1)
        value -= unit * (ends[symbol] - counts[symbol])
        span = unit * counts[symbol]
        counts[symbol] += 2
        if sum(counts) > 2**16:
            counts = [(count + 1) // 2 for count in counts]
        while span < 2**24:
            value, span = (256 * value + next(code)) % 2**32, 256 * span
        omega.append(step * (symbol - levels // 2))
    return omega


def unpacked(content, dim, how):
    """Scales of bfloat16, and codes in two's complement."""
    block, bits = {"int8": (64, 8), "int4": (32, 4)}[how]
    blocks = math.ceil(dim / block)
    scales, codes = numbers("BF16", content[: 2 * blocks]), content[2 * blocks :]
    if bits == 4:
        codes = [half for byte in codes for half in (byte & 15, byte >> 4)]
    codes = [code - (code >> bits - 1 << bits) for code in codes]
    return [scales[k // block] * codes[k] for k in range(dim)]


# The net.


def nets():
    """By name: convolutions, hidden units, whether convolutions have biases, D; from the page."""
    row = r"^\| `([\w-]+)` \| (.*?) \| (.*?) \| ([\d,]+) \|$"
    found = {}
    for name, convs, hidden, D in re.findall(row, PAGE, re.MULTILINE):
        convolutions = [tuple(map(int, c.split(", "))) for c in re.findall(r"\((.*?)\)", convs)]
        units = [int(n) for n in re.findall(r"\d+", hidden)]
        found[name] = convolutions, units, "no biases" not in convs, int(D.replace(",", ""))
    return found


def tensors_of(name):
    """Name, shape and fan-in of each tensor of θ, in order."""
    convolutions, hidden, biases, _ = nets()[name]
    own = {"conv": ["conv1", "conv2", "fc1", "fc2"], "fc": ["fc1", "fc2", "fc3"]}
    first = 3 * len(convolutions) + 1
    places = [3 * i for i in range(len(convolutions))]
    places += [first + 3 * i for i in range(len(hidden) + 1)]
    names = own.get(name, places)
    shapes, (channels, size) = [], (8, 7) if name == "strokes" else (1, 28)
    for out, kernel, padding, pool in convolutions:
        shapes.append(((out, channels, kernel, kernel), biases))
        channels, size = out, (size + 2 * padding - kernel + 1) // pool
    units = channels * size * size
    for out in [*hidden, 10]:
        shapes.append(((out, units), True))
        units = out
    for layer, (shape, bias) in zip(names, shapes, strict=True):
        fan_in = math.prod(shape[1:])
        yield f"{layer}.weight", shape, fan_in
        if bias:
            yield f"{layer}.bias", shape[:1], fan_in


def architecture(tensors):
    described = [[[[name], list(shape)] for name, shape, _ in tensors], []]
    return digits(json.dumps(described, separators=(",", ":")).encode())


# θ.


def uniform(seed, stream, index):
    return ((reference_word(seed, stream, index) >> 12) + 0.5) * 2**-52


def theta_of(spec, tensors, described=None, dtype=None):
    """θ, verified on the way: architecture, θ0 and P; for `hashed` and a drawn θ0."""
    described = list(described or tensors_of(spec["model"]))
    dtype = dtype or spec.get("dtype", "float32")
    wide = "float64" if dtype == "float64" else "float32"
    D, d, seed = spec["D"], spec["dim"], spec["seed"]
    assert spec["projection"] == "hashed/1"
    assert spec["theta0_from"] == "seed/1"
    assert spec["architecture"] == architecture(described)
    bounds = [
        1 / math.sqrt(fan_in) for _, shape, fan_in in described for _ in range(math.prod(shape))
    ]
    theta = [
        rounded(bound * (2 * uniform(seed, "theta0", i) - 1), dtype)
        for i, bound in enumerate(bounds)
    ]
    seeds, omegas = [seed, *spec.get("stages", [])], [omega_of(spec, tensors)]
    if "stages" in spec:
        kind, shape, content = tensors["stages"]
        numbers = struct.unpack(f"<{math.prod(shape)}{LETTERS[kind]}", content)
        omegas = [numbers[k * d : k * d + d] for k in range(shape[0])] + omegas
    for stage, (own, omega) in enumerate(zip(seeds, omegas, strict=True), 1):
        rows = [(k, int(math.copysign(1, value))) for k, value in reference_hashed(D, d, own)]
        counts = Counter(k for k, _ in rows)
        norms = [1 / math.sqrt(counts[k]) for k in range(d)]
        if stage == len(seeds):
            assert spec["theta0"] == digits(float64_bytes(theta))
            w = [uniform(0, "sketch/omega", k) - 0.5 for k in range(d)]
            recipe = repr(("hashed", 1, D, d, own)).encode()
            P_w = [s * (w[k] * norms[k]) for k, s in rows]
            assert spec["P"] == digits(recipe, float64_bytes(P_w))
        moved = [rounded(omega[k] * rounded(norms[k], wide), wide) for k in range(d)]
        for i, (bound, (k, sign)) in enumerate(zip(bounds, rows, strict=True)):
            step = bound / math.sqrt(3) * math.sqrt(D / d) if spec.get("scale") != "none" else 1.0
            move = rounded(rounded(step, wide) * (sign * moved[k]), wide)
            theta[i] = rounded(rounded(theta[i] + move, wide), dtype)
    return theta


# What the net computes.


def logits(name, theta, pixels):
    """Of one image, 28 rows of 28 bytes; in float64, where only the last digits differ."""
    convolutions, hidden, biases, _ = nets()[name]
    rest = iter(theta)
    maps = [[[byte / 255 for byte in row] for row in pixels]]
    if name == "strokes":
        maps = directions(upright(maps[0]))
    for out, kernel, padding, pool in convolutions:
        weight = [[_take(rest, kernel * kernel) for _ in maps] for _ in range(out)]
        bias = _take(rest, out) if biases else [0.0] * out
        maps = [
            _pooled(correlated(maps, filters, b, kernel=kernel, padding=padding), pool)
            for filters, b in zip(weight, bias, strict=True)
        ]
    values = [value for rows in maps for row in rows for value in row]
    for number, out in enumerate([*hidden, 10]):
        weight = [_take(rest, len(values)) for _ in range(out)]
        bias = _take(rest, out)
        values = [
            sum(map(float.__mul__, row, values)) + b for row, b in zip(weight, bias, strict=True)
        ]
        if number < len(hidden):
            values = [max(value, 0.0) for value in values]
    assert next(rest, None) is None
    return values


def upright(rows):
    """Moved and sheared such that u and v, from the middle, have no mean and no covariance."""
    size = len(rows)
    at = [i - (size - 1) / 2 for i in range(size)]
    mass = [(max(p, 1e-6), u, v) for v, row in zip(at, rows, strict=True)
            for u, p in zip(at, row, strict=True)]  # fmt: skip
    total = sum(p for p, _, _ in mass)
    right, down = sum(p * u for p, u, _ in mass) / total, sum(p * v for p, _, v in mass) / total
    slant = sum(p * (u - right) * (v - down) for p, u, v in mass)
    slant /= sum(p * (v - down) ** 2 for p, _, v in mass)

    def pixel(i, j):
        return rows[i][j] if 0 <= i < size and 0 <= j < size else 0.0

    def between(u, v):
        i, j = v + down + (size - 1) / 2, u + right + slant * v + (size - 1) / 2
        top, left = math.floor(i), math.floor(j)
        return sum(
            (1 - abs(i - y)) * (1 - abs(j - x)) * pixel(y, x)
            for y in (top, top + 1)
            for x in (left, left + 1)
        )

    return [[between(u, v) for u in at] for v in at]


def directions(rows):
    """Eight maps: the mean slope of each 4 × 4 square, where it rises."""
    sobel = [-1, 0, 1, -2, 0, 2, -1, 0, 1]
    maps = []
    for k in range(8):
        cos, sin = math.cos(k * math.pi / 4), math.sin(k * math.pi / 4)
        filters = [[(cos * sobel[i] + sin * sobel[i % 3 * 3 + i // 3]) / 4 for i in range(9)]]
        slopes = correlated([rows], filters, 0.0, kernel=3, padding=1)
        starts = range(0, len(rows) - 3, 4)
        sums = [[sum(max(0.0, s) for s in row[x : x + 4]) for x in starts] for row in slopes]
        maps.append(
            [[sum(column) / 4 for column in zip(*sums[y : y + 4], strict=True)] for y in starts]
        )
    return maps


def _take(numbers_, count):
    return list(itertools.islice(numbers_, count))


def correlated(maps, filters, bias, *, kernel, padding):
    """A cross-correlation over all channels: the kernel is not flipped."""
    around = [0.0] * padding
    width = len(maps[0]) + 2 * padding
    empty = [[0.0] * width] * padding
    padded = [empty + [around + row + around for row in rows] + empty for rows in maps]
    size = width - kernel + 1
    sums = [[bias] * size for _ in range(size)]
    for rows, weights in zip(padded, filters, strict=True):
        for place, weight in enumerate(weights):
            down, right = divmod(place, kernel)
            for y in range(size):
                source, target = rows[y + down], sums[y]
                for x in range(size):
                    target[x] += weight * source[x + right]
    return sums


def _pooled(rows, pool):
    """The largest of each square, rows and columns left over dropped; then ReLU."""
    starts = range(0, len(rows) - pool + 1, pool)

    def largest(y, x):
        return max(0.0, *(value for row in rows[y : y + pool] for value in row[x : x + pool]))

    return [[largest(y, x) for x in starts] for y in starts]
