"""How kernels are compiled: one signature each, exact arithmetic, the machine code kept on disk where it can be.

Numbers are added and multiplied as written: without fastmath LLVM neither reorders nor fuses (x * y + z is two
roundings, as in numpy; `tests/kernels` would see one). A division by 0 gives what numpy gives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba import types

Function = TypeVar("Function", bound=Callable[..., Any])

# arrays of our own: C order
F1, F2, F3 = (types.Array(types.float64, ndim, "C") for ndim in (1, 2, 3))
I1, I2 = (types.Array(types.int64, ndim, "C") for ndim in (1, 2))
B1 = types.Array(types.boolean, 1, "C")
# arrays that are only read: any layout, read-only ones as well
ANY_F1, ANY_F2 = (types.Array(types.float64, ndim, "A", readonly=True) for ndim in (1, 2))
ANY_I1 = types.Array(types.int64, 1, "A", readonly=True)
ANY_B1, ANY_B2 = (types.Array(types.boolean, ndim, "A", readonly=True) for ndim in (1, 2))
# columns of a table, which may be rows of a block of any layout
COL_F1, COL_I1, COL_B1 = (types.Array(kind, 1, "A") for kind in (types.float64, types.int64, types.boolean))
FLOAT, INT, BOOL = types.float64, types.int64, types.boolean


def kernel(*arguments: Any) -> Callable[[Function], Function]:
    """Compile for these types of `arguments`; none: a helper, compiled into the kernels of its file.

    A kernel calls helpers of its own file only: numba would not see a change in another one.
    """
    signature = [arguments] if arguments else None

    def compile_(function: Function) -> Function:
        try:
            made: Any = numba.njit(signature, cache=bool(arguments), nogil=True, error_model="numpy")(
                function
            )
        except RuntimeError as error:
            if "cannot cache" not in str(error):
                raise
            made = numba.njit(signature, nogil=True, error_model="numpy")(function)
        return cast("Function", made)

    return compile_
