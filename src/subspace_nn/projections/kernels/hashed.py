"""`hashed` on a GPU: place and collect a range of rows in one pass over memory, in Triton.

    place      θ_i = θ0_i + s_i u_k,    u = step · (ω / √n), rounded as plain torch rounds it
    collect    v_k = step / √n_k · Σ_i s_i g_i    over the rows i of parameter k

Neither reads an index. Place computes k = (a_b j + c_b) mod d for the weight i = b d + j. In each
block that map is a permutation, so collect gathers, too: parameter k reads the weight
j = (k - c_b) / a_b mod d of block after block. Sums therefore have one order and need no atomics.

Remainders by d use no division. With a' = ⌊2^32 a / d⌋ and 32-bit products, a j - ⌊a' j / 2^32⌋ d
lies in [0, 2d) for each j < 2^32 (Shoup's trick: D. Harvey, "Faster arithmetic for number-theoretic
transforms", 2014).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from subspace_nn import bits
from subspace_nn.projections._affine import AffineHash
from subspace_nn.projections.kernels import _hashed
from subspace_nn.projections.kernels.launch import launch

#: Words of 64 signs, and so 64 weights each, that a program of `place` handles.
_WORDS = 16
#: Parameters, at most, and blocks that a program of `collect` handles.
_WIDTH = 4096
_DEPTH = 64


@dataclass(frozen=True)
class Blocks:
    """The hashes of all blocks and their inverses on one device, with what replaces divisions.

    Attributes:
        at_once: whether several tensors take one call.
        D: number of weights.
        dim: number of parameters d.
        key: of the stream of signs.
        there: a, ⌊2^32 a / d⌋ and c of each block, as uint32 bits in int32: (3, blocks).
        back: 1/a, ⌊2^32 (1/a) / d⌋ and c, likewise.
        norms: 1/√n of each parameter, float64 (d,), and the same in the dtypes that were needed.
    """

    at_once: ClassVar[bool] = False
    D: int
    dim: int
    key: int
    there: Tensor
    back: Tensor
    norms: dict[torch.dtype, Tensor]

    @classmethod
    def of(cls, hashes: AffineHash, norm: Tensor) -> "Blocks":
        """Compute them.

        Args:
            hashes: of the map.
            norm: 1/√n of each parameter, float64 (d,), on the device that is to compute.

        Returns:
            24 bytes a block of d weights, and the norms.
        """
        a, c = hashes.hashes(range(_ceil(hashes.D, hashes.dim)), norm.device)
        there, back = (_with_quotient(x, c, hashes.dim) for x in (a, _inverse(a, hashes.dim)))
        key = bits.key(hashes.seed, "hashed/sign")
        return cls(hashes.D, hashes.dim, key, there, back, {norm.dtype: norm})

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(held.nbytes for held in (self.there, self.back, *self.norms.values()))

    def _norm(self, dtype: torch.dtype) -> Tensor:
        if dtype not in self.norms:
            self.norms[dtype] = self.norms[torch.float64].to(dtype)
        return self.norms[dtype]

    @staticmethod
    def takes(omega: Tensor, *origins: Tensor) -> bool:
        """As `Kernel` says."""
        return all(o.is_contiguous() and omega.dtype in {torch.float32, o.dtype} for o in origins)

    def place(
        self, omega: Tensor, rows: slice, origin: Tensor | None = None, step: float = 1.0
    ) -> Tensor:
        """As `Kernel` says."""
        values = omega * self._norm(omega.dtype)
        values = values.contiguous() if step == 1 else values.mul_(step).contiguous()
        shape = (*values.shape[:-1], rows.stop - rows.start)
        out = values.new_empty(shape) if origin is None else torch.empty_like(origin)
        if not out.numel():
            return out
        tiles = _ceil(_ceil(rows.stop, 64) - rows.start // 64, _WORDS)
        launch(
            _hashed.place,
            tiles * (values.numel() // self.dim),
            out,
            out if origin is None else origin,
            values,
            self.there,
            self.there.shape[1],
            self.key,
            rows.start,
            rows.stop,
            self.dim,
            *_division(self.dim),
            tiles,
            ADD=origin is not None,
            WORDS=_WORDS,
            num_warps=2,
        )
        return out

    def collect(self, gradient: Tensor, rows: slice, step: float = 1.0) -> Tensor:
        """As `Kernel` says."""
        wide = torch.promote_types(gradient.dtype, torch.float32)
        sums = self._sums(gradient.contiguous(), rows, wide).mul_(self._norm(wide))
        return sums if step == 1 else sums.mul_(step)

    def _sums(self, gradient: Tensor, rows: slice, wide: torch.dtype) -> Tensor:
        """Σ s g over the rows of each parameter: shape (*, d), in the dtype `wide`."""
        shape = (*gradient.shape[:-1], self.dim)
        if not gradient.numel():
            return gradient.new_zeros(shape, dtype=wide)
        batch = gradient.numel() // (rows.stop - rows.start)
        first, last = rows.start // self.dim, _ceil(rows.stop, self.dim)
        width = min(_WIDTH, 1 << (self.dim - 1).bit_length())
        tiles, splits = _ceil(self.dim, width), _ceil(last - first, _DEPTH)
        sums = gradient.new_empty((splits, batch, self.dim), dtype=wide)
        launch(
            _hashed.collect,
            tiles * batch * splits,
            sums,
            gradient,
            self.back,
            self.back.shape[1],
            self.key,
            rows.start,
            rows.stop,
            self.dim,
            first,
            last,
            tiles,
            batch,
            WIDTH=width,
            DEPTH=_DEPTH,
            num_warps=max(1, min(8, width // 128)),
        )
        return (sums if splits == 1 else sums.sum(0)).view(shape)


def _ceil(a: int, b: int) -> int:
    return -(-a // b)


def _division(dim: int) -> tuple[int, int]:
    """The numbers m and l with n // d = (2 n m) >> 32 >> l for all n < 2^31."""
    # Granlund and Montgomery, "Division by invariant integers using multiplication", 1994.
    shift = (dim - 1).bit_length()
    return _ceil(1 << 31 + shift, dim), shift


def _with_quotient(a: Tensor, c: Tensor, dim: int) -> Tensor:
    """A, ⌊2^32 a / d⌋ and c in 32 bits each: int32 (3, blocks)."""
    return torch.stack((a, (a << 32) // dim, c)).to(torch.int32)


def _inverse(a: Tensor, dim: int) -> Tensor:
    """1/a mod d by Euclid's algorithm, for a coprime to d: int64."""
    old, new = torch.full_like(a, dim), a
    x, y = torch.zeros_like(a), torch.ones_like(a)
    while bool(new.any()):
        quotient = torch.where(new > 0, old // new.clamp(min=1), 0)
        old, new, x, y = (
            torch.where(new > 0, new, old),
            torch.where(new > 0, old - quotient * new, 0),
            torch.where(new > 0, y, x),
            torch.where(new > 0, x - quotient * y, y),
        )
    return x % dim
