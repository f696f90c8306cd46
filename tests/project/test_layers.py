"""The house keeps its order: imports go one way, private names stay in one room, and JAX never does functrans' work."""

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "functrans"

# From the ground up: a room imports itself and what stands before it. Rooms in one tuple share a floor, and import each
# other's public face only where SAME_FLOOR says so.
FLOORS = (
    (
        "errors", "tree", "tree_util", "dtypes", "dlpack", "monitoring", "profiler", "typing", "sharding", "core",
        "distributed", "extend", "interpreters",
    ),
    ("jaxlib_compat",),
    ("ir",),
    ("trace",),
    ("ops",),
    ("transform",),
    ("control",),  # a primitive that holds a jaxpr transforms it in its own rules
    ("optimise",),
    ("jacobians",),
    ("xla",),
    ("api",),
    (
        "numpy", "lax", "nn", "random", "scipy", "debug", "experimental", "custom_batching",
        "custom_derivatives", "ad_checkpoint", "flatten_util", "stages", "image", "example_libraries", "ref", "ffi",
    ),
    ("derivatives",),
    ("interop", "export"),
    ("testing", "test_util"),
    ("__init__",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# numpy is written in terms of lax, as in JAX; random in terms of both, nn of the three
# (initializers), scipy of nn too (softmax, logsumexp), and of random (samples of an estimated density). Solvers work on
# trees as vectors.
SAME_FLOOR = {
    "flatten_util": {"numpy", "lax"},
    "experimental": {"numpy", "lax", "flatten_util"},
    "numpy": {"lax"},
    "nn": {"numpy", "lax", "random"},
    "random": {"numpy", "lax"},
    "scipy": {"numpy", "lax", "nn", "random", "flatten_util"},
    "test_util": {"testing"},
}

# (file, imported module): imports inside a function, each with the reason why it cannot stand at the top.
LATE_IMPORTS: dict[tuple[str, str], str] = {}

# The only room that may name private parts of jax or jaxlib; each of its files declares those that it names.
COMPATIBILITY = "jaxlib_compat"

# The doors of the bridge: one asks JAX to trace JAX functions, one makes our programs an operation of JAX, one applies
# JAX's collectives over axes that JAX binds, one writes programs with JAX's operations for checkify.
DOORS_TO_JAX = ("interop/jax_tracing.py", "interop/jax_primitive.py", "interop/axes_of_jax.py", "interop/opened.py")

# JAX's transforms and array functions: functrans has its own.
FORBIDDEN_NAMES = {
    "grad", "value_and_grad", "jvp", "vjp", "vmap", "pmap", "jit", "linearize", "linear_transpose", "jacfwd", "jacrev",
    "jacobian", "hessian", "make_jaxpr", "eval_shape", "checkpoint", "remat", "custom_jvp", "custom_vjp",
    "closure_convert",
}  # fmt: skip
FORBIDDEN_MODULES = (
    "jax.numpy", "jax.lax", "jax.nn", "jax.scipy", "jax.image", "jax.ops", "jax.example_libraries",
    "jax.experimental", "jax.interpreters",
)  # fmt: skip
# Descriptions of memory, the container of a sparse matrix's entries, names of ways to compute, types for annotations:
# they compute nothing.
DATA_ONLY = (
    "jax.experimental.layout", "jax.experimental.sparse.BCOO", "jax.experimental.primal_tangent_dtype",
    "jax.lax.AccuracyMode", "jax.lax.DotAlgorithmPreset", "jax.lax.Precision",
    "jax.lax.ConvGeneralDilatedDimensionNumbers", "jax.lax.DotDimensionNumbers", "jax.lax.PrecisionLike",
)  # fmt: skip

# Peripheral modules, composed of JAX's own operations, that are JAX's, and where the rules of an operation of JAX are
# registered: traced values go through them by the crossing (interop.crossing). The file has names and nothing else;
# tests/surface holds them to the tests of our own.
BY_THE_CROSSING = {
    "example_libraries/optimizers.py": "jax.example_libraries.optimizers",
    "example_libraries/stax.py": "jax.example_libraries.stax",
    **{
        f"experimental/{name}.py": f"jax.experimental.{name}"
        for name in (
            "buffer_callback", "checkify", "colocated_python", "compute_on", "custom_partitioning", "hijax", "layout",
            "mesh_utils", "multihost_utils", "pallas", "profiler", "random", "rnn", "scheduling_groups",
            "source_mapper", "sparse", "topologies", "xla_metadata",
        )
    },
    "experimental/compilation_cache/compilation_cache.py": "jax.experimental.compilation_cache",
    "image.py": "jax.image",
    **{
        f"interpreters/{name}.py": f"jax.interpreters.{name}"
        for name in ("ad", "batching", "mlir", "partial_eval", "pxla", "xla")
    },
    "scipy/cluster/vq.py": "jax.scipy.cluster.vq",
    "scipy/ndimage.py": "jax.scipy.ndimage",
    "scipy/spatial/transform.py": "jax.scipy.spatial.transform",
}


@dataclass(frozen=True)
class Import:
    """One imported name: where it stands, the module or name asked for, and whether a function holds it."""

    file: str
    line: int
    target: str
    late: bool

    def __str__(self):
        return f"functrans/{self.file}:{self.line} imports {self.target}"


def room(file):
    """The room of a file given relative to the package: 'ir/types.py' -> 'ir', 'errors.py' -> 'errors'."""
    return Path(file).parts[0].removesuffix(".py")


@cache
def imports_of(source, file):
    """Every import of one source text, relative ones made absolute, those for type checkers only left out."""
    package = ["functrans", *Path(file).parts[:-1]]
    found = []

    def visit(node, late):
        if isinstance(node, ast.If) and ast.unparse(node.test).removeprefix("typing.") == "TYPE_CHECKING":
            for child in node.orelse:
                visit(child, late)
            return
        if isinstance(node, ast.Import):
            found.extend(Import(file, node.lineno, alias.name, late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found.extend(Import(file, node.lineno, f"{base}.{alias.name}", late) for alias in node.names)
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, late or inside)

    visit(ast.parse(source), False)
    return found


@cache
def sources():
    return {path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}


def all_imports():
    return [found for file, text in sources().items() for found in imports_of(text, file)]


def goes_up(found):
    """Whether an import reaches a room that stands above its own, or beside it without leave."""
    parts = found.target.split(".")
    if parts[0] != "functrans":
        return False
    here, there = room(found.file), parts[1] if len(parts) > 1 and parts[1] in FLOOR else "__init__"
    if here == there:
        return False
    return not (FLOOR[there] < FLOOR[here] or there in SAME_FLOOR.get(here, ()))


@cache
def jax_names(source):
    """(line, dotted name) of every use of a jax or jaxlib name: imports, attribute chains, private modules' names."""
    aliases, uses, nodes = {}, [], list(ast.walk(ast.parse(source)))
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.split(".")[0]
                if top in ("jax", "jaxlib"):
                    aliases[alias.asname or top] = alias.name if alias.asname else top
                    uses.append((node.lineno, alias.name))
        elif isinstance(node, ast.ImportFrom) and re.match(r"jax(lib)?\b", node.module or "") and not node.level:
            for alias in node.names:
                aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                uses.append((node.lineno, f"{node.module}.{alias.name}"))
        elif isinstance(node, ast.Constant) and is_private_module(node.value):  # for import_module
            uses.append((node.lineno, node.value))
    for node in nodes:
        if isinstance(node, ast.Attribute):
            chain, base = [node.attr], node.value
            while isinstance(base, ast.Attribute):
                chain.append(base.attr)
                base = base.value
            if isinstance(base, ast.Name) and base.id in aliases:
                uses.append((node.lineno, ".".join([aliases[base.id], *reversed(chain)])))
    return uses


def is_private(name):
    """Whether a name belongs to jaxlib, none of which is public, or passes through an underscored part of jax."""
    return re.search(r"^jaxlib\b|\._(?!_)", name) is not None


def is_private_module(text):
    """Whether a string is the name of a private module of jax or jaxlib."""
    return isinstance(text, str) and re.fullmatch(r"jax(lib)?(\.\w+)+", text) is not None and is_private(text)


def does_our_work(name):
    """Whether a jax name is a transform or an array function, which functrans writes itself."""

    def stands_in(modules):
        return any(name == module or name.startswith(module + ".") for module in modules)

    parts = name.split(".")
    is_transform = len(parts) > 1 and parts[0] == "jax" and parts[1] in FORBIDDEN_NAMES
    return is_transform or (stands_in(FORBIDDEN_MODULES) and not stands_in(DATA_ONLY))


def report(faults):
    return "\n".join(str(fault) for fault in faults)


def test_every_file_stands_in_a_known_room():
    strangers = sorted({room(file) for file in sources()} - FLOOR.keys())
    assert not strangers, f"say on which floor of tests/project/test_layers.py these stand: {strangers}"


def test_imports_go_down_only():
    faults = [found for found in all_imports() if goes_up(found)]
    assert not faults, report(faults)


def test_no_import_hides_in_a_function():
    """A late import is a cycle in disguise; a permitted one gives its reason in LATE_IMPORTS."""
    ours = [found for found in all_imports() if found.target.startswith("functrans")]
    late = {(found.file, found.target): found for found in ours if found.late}
    faults = [found for key, found in late.items() if key not in LATE_IMPORTS]
    assert not faults, report(faults)
    assert not LATE_IMPORTS.keys() - late.keys(), "LATE_IMPORTS permits what no longer stands there"


def test_modules_import_each_other_without_a_cycle():
    modules = {}
    for file in sources():
        modules[".".join(Path("functrans", file).with_suffix("").parts).removesuffix(".__init__")] = file
    edges = {}
    for file, text in sources().items():
        imports = imports_of(text, file)
        targets = [found.target for found in imports if not (found.late and (file, found.target) in LATE_IMPORTS)]
        edges[file] = {modules.get(name) or modules.get(name.rpartition(".")[0]) for name in targets} - {None, file}
    done, path = set(), []

    def visit(file):
        assert file not in path, " -> ".join([*path[path.index(file) :], file])
        if file not in done:
            path.append(file)
            for other in sorted(edges[file]):
                visit(other)
            path.pop()
            done.add(file)

    for file in sorted(edges):
        visit(file)


def test_private_jax_names_live_in_one_room():
    faults = [
        f"functrans/{file}:{line} uses {name}"
        for file, text in sources().items()
        if room(file) != COMPATIBILITY
        for line, name in jax_names(text)
        if is_private(name)
    ]
    assert not faults, report(faults)


def test_jax_does_none_of_our_work():
    faults = [
        f"functrans/{file}:{line} uses {name}"
        for file, text in sources().items()
        if file not in DOORS_TO_JAX
        for line, name in jax_names(text)
        if does_our_work(name) and not f"{name}.".startswith(f"{BY_THE_CROSSING.get(file)}.")
    ]
    assert not faults, report(faults)


def test_what_is_jaxs_own_by_the_crossing_is_names_and_nothing_else():
    for file in BY_THE_CROSSING:
        body = ast.parse(sources()[file]).body
        assert isinstance(body[0], ast.Expr), file
        assert all(isinstance(node, ast.ImportFrom) for node in body[1:]), file


# The checks themselves, on texts whose faults are known.


@pytest.mark.parametrize(
    ("source", "file", "upward"),
    [
        ("from functrans.api import grad", "ir/types.py", True),
        ("from ..ir.program import Var", "trace/builder.py", False),
        ("from ..trace import Builder", "ir/program.py", True),
        ("import functrans.errors", "api/grad.py", False),
        ("import functrans", "api/grad.py", True),
        ("from .. import lax", "numpy/linear.py", False),
        ("from .. import nn", "numpy/linear.py", True),
        ("def f():\n    from ..api import grad", "ops/sine.py", True),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..api import grad", "ops/sine.py", False),
    ],
)
def test_an_import_that_goes_up_is_seen(source, file, upward):
    assert any(goes_up(found) for found in imports_of(source, file)) is upward


@pytest.mark.parametrize(
    ("source", "private", "ours"),
    [
        ("import jax\njax.config.update('jax_enable_x64', True)", False, False),
        ("import jax\njax.grad(f)", False, True),
        ("import jax.numpy as jnp\njnp.sin(1.0)", False, True),
        ("from jax import lax", False, True),
        ("from jax.experimental import layout", False, False),
        ("from jax.experimental import pallas", False, True),
        ("from jax import tree_util", False, False),
        ("from jax._src import core", True, False),
        ("import jax as j\nj._src.core.Tracer", True, False),
        ("from jaxlib import _jax", True, False),
        ("import_module('jax._src.core')", True, False),
        ("import_module('jaxlib.mlir')", True, False),
        ("x.grad()\njax = None", False, False),
    ],
)
def test_a_forbidden_jax_name_is_seen(source, private, ours):
    names = [name for _, name in jax_names(source)]
    assert any(map(is_private, names)) is private
    assert any(map(does_our_work, names)) is ours
