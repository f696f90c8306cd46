"""explain: what was decided for a call, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from functrans.api.arguments import check_callable
from functrans.api.jaxprs import make_jaxpr
from functrans.api.staging import api_boundary, tree_flatten, tree_unflatten
from functrans.ir.types import is_differentiable, type_of
from functrans.jacobians.budget import costs
from functrans.jacobians.reports import Report, collecting, note_program
from functrans.trace.frames import function_name


@api_boundary
def explain(fun: Callable[..., Any]) -> Callable[..., Report]:
    """What functrans decides for a call of ``fun``, without running it: what each Jacobian in it is computed by, and
    why; what the program costs.

    Args:
      fun: any function of arrays; often one that ``jacobian``, ``hessian`` or ``sparse_jacobian`` returned.

    Returns:
      A function of the same arguments, whose result is a report: printed, a page of text; as data, ``sections``, for
      each name a list of dictionaries. Section 'jacobian': the candidates, with their passes, operations and bytes as
      they were estimated, and which was chosen; section 'program': equations, operations, bytes.

    >>> import numpy as np, functrans as ft
    >>> report = ft.explain(ft.jacobian(lambda x: x[:2] * x[2]))(np.ones(3, np.float32))
    >>> report.sections["jacobian"][0]["chosen"]
    'reverse'
    """
    check_callable(fun, "explain")

    @api_boundary
    def explained(*args: Any, **kwargs: Any) -> Report:
        leaves, tree = tree_flatten((args, kwargs))
        moving = [i for i, x in enumerate(leaves) if is_differentiable(type_of(x).dtype)]

        def of_numbers(*numbers: Any) -> Any:  # indices keep their values, on which a pattern may depend
            for i, x in zip(moving, numbers, strict=True):
                leaves[i] = x
            given, named = tree_unflatten(tree, leaves)
            return fun(*given, **named)

        with collecting() as report:
            jaxpr = make_jaxpr(of_numbers)(*[leaves[i] for i in moving])
            note_program(function_name(fun), costs(jaxpr))
        return report

    return explained
