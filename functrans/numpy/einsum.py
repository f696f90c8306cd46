"""einsum: sums of products named by subscripts, contracted pair by pair along an opt_einsum path."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import opt_einsum

from functrans import lax
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.numpy.creation import asarray
from functrans.numpy.grids import diagonal
from functrans.numpy.products import contract
from functrans.numpy.promotion import Array, common_dtype, requested_dtype, to_dtype
from functrans.trace.keywords import refuse


def einsum(
    subscripts: Any, /, *operands: Any, out: None = None, optimize: Any = "auto", precision: Any = None,
    preferred_element_type: Any = None, out_sharding: Any = None,
) -> Array:  # fmt: skip
    """The sum of products that ``subscripts`` names: "ij,jk->ik" is a matrix product.

    Letters name axes; those not in the result are summed; "..." stands for further, broadcast axes. Without "->" the
    result has the letters that occur once, in alphabetical order. ValueError for subscripts that do not fit.

    >>> import functrans.numpy as fnp
    >>> fnp.einsum("ij,j->i", fnp.ones((2, 3)), fnp.ones(3))
    Array([3., 3.], dtype=float32)
    """
    if out_sharding is not None:
        refuse("einsum", out_sharding=out_sharding)
    refuse("einsum", out=out)
    if not isinstance(subscripts, str):
        subscripts, operands = _interleaved(subscripts, operands)
    arrays = [asarray(x) for x in operands]
    inputs, output = parse_subscripts(subscripts, [a.ndim for a in arrays])
    sizes = _sizes(subscripts, inputs, arrays)
    dtype, weak = common_dtype("einsum", *arrays)
    preferred = None if preferred_element_type is None else requested_dtype("einsum", preferred_element_type)
    arrays = [a if a.dtype == dtype else to_dtype(a, dtype) for a in arrays]
    terms = [_simplify(a, names, sizes) for a, names in zip(arrays, inputs, strict=True)]
    for pair in _path(inputs, output, sizes, optimize):
        picked = [terms[i] for i in pair]
        terms = [t for i, t in enumerate(terms) if i not in pair]
        needed = set(output).union(*[names for _, names in terms])
        while len(picked) > 2:  # a path may contract several at once
            later = needed.union(*[names for _, names in picked[2:]])
            picked[:2] = [_contract(picked[0], picked[1], later, output, precision, preferred)]
        if len(picked) == 2:
            terms.append(_contract(picked[0], picked[1], needed, output, precision, preferred))
        else:
            terms.append(_sum_out(*picked[0], needed))
    array, names = _sum_out(*terms[0], set(output))
    if names != output:
        array = lax.transpose(array, [names.index(c) for c in output])
    if preferred is not None:
        return to_dtype(array, preferred)
    return to_dtype(array, dtype, True) if weak else array


def _interleaved(first: Any, rest: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
    """NumPy's other form: operand, axis numbers, operand, axis numbers, ..., [result's axis numbers]."""
    items = (first, *rest)
    result = items[-1] if len(items) % 2 else None
    pairs = items[:-1] if len(items) % 2 else items
    letters = string.ascii_letters

    def text(axes: Any) -> str:
        return "".join("..." if a is Ellipsis else letters[a] for a in axes)

    subscripts = ",".join(text(axes) for axes in pairs[1::2])
    return subscripts if result is None else f"{subscripts}->{text(result)}", pairs[::2]


def parse_subscripts(subscripts: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """One string of letters an operand, and the result's; "..." replaced by letters that do not occur."""
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    inputs = left.split(",")
    if len(inputs) != len(ranks):
        raise FunctransValueError(
            f"einsum: subscripts {subscripts!r} name {len(inputs)} operands, and {len(ranks)} are given"
        )
    strange = set(text) - set(string.ascii_letters) - set(",.->")
    if strange:
        raise FunctransValueError(
            f"einsum: subscripts {subscripts!r} hold {sorted(strange)}; axes are named by letters"
        )
    free = [c for c in string.ascii_letters if c not in text]
    counts = [rank - len(names.replace("...", "")) for names, rank in zip(inputs, ranks, strict=True)]
    for names, rank, count in zip(inputs, ranks, counts, strict=True):
        if count < 0 or (count and "..." not in names) or "." in names.replace("...", ""):
            raise FunctransValueError(
                f"einsum: the subscripts {names!r} do not fit an operand of {rank} dimension{'s' if rank != 1 else ''}"
            )
    longest = max([c for c, names in zip(counts, inputs, strict=True) if "..." in names], default=0)
    dots = "".join(free[:longest])
    named = [
        names.replace("...", dots[longest - count :] if count else "")
        for names, count in zip(inputs, counts, strict=True)
    ]
    if arrow:
        output = right.replace("...", dots)
    else:
        once = [c for c, n in Counter(left.replace("...", "").replace(",", "")).items() if n == 1]
        output = (dots if "..." in left else "") + "".join(sorted(once))
    unknown = set(output) - set("".join(named))
    if unknown or len(set(output)) != len(output):
        raise FunctransValueError(
            f"einsum: the result of {subscripts!r} must name axes of the operands, each once, and names {right!r}"
        )
    return named, output


def _sizes(subscripts: str, inputs: Sequence[str], arrays: Sequence[Any]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for names, array in zip(inputs, arrays, strict=True):
        for c, n in zip(names, array.shape, strict=True):
            if n != 1 and sizes.get(c, 1) not in (1, n):
                shapes = ", ".join(str(tuple(a.shape)) for a in arrays)
                raise FunctransTypeError(
                    f"einsum: in {subscripts!r} with shapes {shapes}, axis {c!r} has sizes {sizes[c]} and {n}; they "
                    "must be equal"
                )
            sizes[c] = n if c not in sizes or n != 1 else sizes[c]
    return sizes


def _path(inputs: Sequence[str], output: str, sizes: dict[str, int], optimize: Any) -> list[tuple[int, ...]]:
    count = len(inputs)
    if count == 1:
        return [(0,)]
    if count == 2:
        return [(0, 1)]
    if isinstance(optimize, list | tuple):
        return [tuple(p) for p in optimize if not isinstance(p, str)]
    if optimize is False:
        return [(0, 1)] * (count - 1)
    kind = "optimal" if optimize is True else optimize
    path, _ = opt_einsum.contract_path(
        ",".join(inputs) + "->" + output,
        *[tuple(sizes[c] for c in names) for names in inputs],
        shapes=True,
        optimize=kind,
    )
    return [tuple(sorted(p)) for p in path]


def _simplify(array: Any, names: str, sizes: dict[str, int]) -> tuple[Any, str]:
    """Take diagonals of repeated names, and drop axes of size 1 that are broadcast against longer ones."""
    for c in dict.fromkeys(names):
        while names.count(c) > 1:
            i = names.index(c)
            j = names.index(c, i + 1)
            array = diagonal(array, 0, i, j)
            names = names[:i] + names[i + 1 : j] + names[j + 1 :] + c
    short = [i for i, c in enumerate(names) if array.shape[i] != sizes[c]]
    if short:
        array = lax.reshape(array, tuple(n for i, n in enumerate(array.shape) if i not in short))
        names = "".join(c for i, c in enumerate(names) if i not in short)
    return array, names


def _sum_out(array: Any, names: str, needed: set[str]) -> tuple[Any, str]:
    """Sum the axes that nobody needs any more."""
    done = tuple(i for i, c in enumerate(names) if c not in needed)
    if done:
        array = lax.reduce_or(array, done) if array.dtype == np.bool_ else lax.reduce_sum(array, done)
        names = "".join(c for c in names if c in needed)
    return array, names


def _contract(
    a: tuple[Any, str], b: tuple[Any, str], needed: set[str], output: str, precision: Any, preferred: Any
) -> tuple[Any, str]:
    """One dot_general: shared axes that are needed later are batch axes, the other shared ones are contracted.

    Of the two orders of the product it is the one whose last axes are those of ``output``: what is left to transpose
    then moves whole rows.
    """
    x, in_x = _sum_out(*a, needed | set(b[1]))
    y, in_y = _sum_out(*b, needed | set(a[1]))
    shared = [c for c in in_x if c in in_y]
    batch = [c for c in shared if c in needed]
    contracted = [c for c in shared if c not in needed]
    free_x, free_y = ("".join(c for c in names if c not in shared) for names in (in_x, in_y))
    if _common_end(free_y + free_x, output) > _common_end(free_x + free_y, output):
        x, in_x, free_x, y, in_y, free_y = y, in_y, free_y, x, in_x, free_x
        precision = precision[::-1] if isinstance(precision, tuple | list) else precision
    numbers = (
        (tuple(in_x.index(c) for c in contracted), tuple(in_y.index(c) for c in contracted)),
        (tuple(in_x.index(c) for c in batch), tuple(in_y.index(c) for c in batch)),
    )
    return contract("einsum", x, y, numbers, precision, preferred), "".join(batch) + free_x + free_y


def _common_end(names: str, output: str) -> int:
    """How many last axes of a product stand at the end of the result too, of those that the result has."""
    wanted = [c for c in output if c in names]
    count = 0
    while count < min(len(names), len(wanted)) and names[-1 - count] == wanted[-1 - count]:
        count += 1
    return count
