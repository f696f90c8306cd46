"""Each file of ``functrans/jaxlib_compat`` declares, and so probes, every private name of jax and jaxlib that it uses.

A table stands where :func:`functrans.jaxlib_compat.versions.private` is called. What is read here is the text: names in
a module of the table, in a class of it or an object of that class; and of any object, fields with an underscore and
names that jaxlib's classes have and public ones have not.
"""

import ast
import inspect
from functools import cache
from importlib import import_module
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.project.test_layers import is_private, is_private_module, jax_names

ROOM = Path(__file__).resolve().parents[2] / "functrans" / "jaxlib_compat"
FILES = sorted(path.name for path in ROOM.glob("*.py"))
PUBLIC_CLASSES = (
    jax.Array, jax.Device, jax.core.ShapedArray, jax.sharding.SingleDeviceSharding, np.ndarray, np.dtype,
    str, bytes, list, tuple, dict, set, BaseException,
)  # fmt: skip


def dotted(node):
    """The text of a name or chain of attributes, else ''."""
    if isinstance(node, ast.Name):
        return node.id
    base = dotted(node.value) if isinstance(node, ast.Attribute) else ""
    return f"{base}.{node.attr}" if base else ""


def strings_in(node):
    return {part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)}


@cache
def names_of_jaxlib():
    """Names of attributes that some class of jaxlib has and none of the public classes that objects here belong to."""
    modules = [import_module(name) for name in ("jaxlib._jax", "jaxlib._hlo", "jaxlib.mlir.ir")]
    classes = [c for module in modules for c in vars(module).values() if inspect.isclass(c)]
    return {name for c in classes for name in vars(c)} - {name for c in PUBLIC_CLASSES for name in dir(c)}


class PrivateNames:
    """What the tables of one source text declare, and what its code uses."""

    def __init__(self, source):
        tree = ast.parse(source)
        calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and dotted(n.func) == "private"]
        tables = [call.args[0] for call in calls]
        self.declared = {}  # by module; two tables may name the same one
        for table in tables:
            for key, names in zip(table.keys, table.values, strict=True):
                self.declared.setdefault(key.value, set()).update(strings_in(names))
        in_tables = {id(node) for table in tables for node in ast.walk(table)}
        self.code = [node for node in ast.walk(tree) if id(node) not in in_tables]
        self.known = {}  # text of a variable -> (module, dotted name in it)
        for node in self.code:
            if isinstance(node, ast.Assign) and node.value in calls:
                modules = [key.value for key in node.value.args[0].keys]
                variables = [dotted(target) for target in node.targets[0].elts]
                self.known.update({v: (m, "") for v, m in zip(variables, modules, strict=True)})
        for node in self.code:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            if isinstance(node, ast.Assign | ast.AnnAssign):
                self.known.update({dotted(t): found for t in targets if (found := self.value_of(node.value))})

    def value_of(self, node):
        """(module, name) of what a private class or object is, or an object made by a private class; else None."""
        found = self.place(dotted(node.func if isinstance(node, ast.Call) else node))
        is_class = found is not None and found[1].rpartition(".")[2].lstrip("_")[:1].isupper()
        return found if is_class or not isinstance(node, ast.Call) else None

    def place(self, text):
        """'_jax.config.unset' -> ('jaxlib._jax', 'config.unset'); None where no variable of a private thing starts it.
        """
        for variable, (module, name) in self.known.items():
            if variable and text.startswith(variable + "."):
                return module, f"{name}.{text[len(variable) + 1 :]}".lstrip(".")
        return self.known.get(text)

    def is_declared(self, module, name):
        return any(f"{known}.".startswith(f"{name}.") for known in self.declared.get(module, ()))

    def is_last_of_one(self, name):
        return any(known.rpartition(".")[2] == name for names in self.declared.values() for known in names)

    def faults(self):
        """(line, what is used and not declared)."""
        for node in self.code:
            if isinstance(node, ast.Constant) and is_private_module(node.value):
                yield node.lineno, node.value
            elif isinstance(node, ast.Dict):
                yield from [(k.lineno, k.value) for k in node.keys if self.is_strange_field(getattr(k, "value", None))]
            elif isinstance(node, ast.Call) and dotted(node.func) == "getattr":
                field = getattr(node.args[1], "value", None)
                if self.is_strange_field(field):
                    yield node.lineno, field
            elif isinstance(node, ast.Attribute):
                base = dotted(node.value)
                found = self.place(f"{base}.{node.attr}") if base else None
                if found is not None:
                    if found[1] and not self.is_declared(*found):
                        yield node.lineno, ".".join(found)
                elif base not in ("self", "cls") and self.is_strange_field(node.attr):
                    yield node.lineno, ast.unparse(node)

    def is_strange_field(self, name):
        """Whether an object asked for this attribute must be a private one, of a class that no table declares it of."""
        if not isinstance(name, str) or name.endswith("__"):
            return False
        return (name.startswith("_") or name in names_of_jaxlib()) and not self.is_last_of_one(name)

    def unused(self):
        used = {node.attr for node in self.code if isinstance(node, ast.Attribute)}
        used |= {node.value for node in self.code if isinstance(node, ast.Constant)}
        declared = {f"{module}.{name}" for module, names in self.declared.items() for name in names}
        return sorted(name for name in declared if name.rpartition(".")[2] not in used)


@pytest.mark.parametrize("file", FILES)
def test_every_private_name_used_is_declared_and_every_one_declared_is_used(file):
    source = (ROOM / file).read_text(encoding="utf-8")
    names = PrivateNames(source)
    faults = [f"{file}:{line} uses {name} undeclared" for line, name in names.faults()]
    in_tables = names.declared.keys()
    faults += [f"{file}:{line} reaches {name} past private()" for line, name in jax_names(source)
               if is_private(name) and name not in in_tables]  # fmt: skip
    assert not faults, "\n".join(faults)
    assert not names.unused(), f"{file} declares what it does not use: {names.unused()}"


TABLE = 'a, b = private({"jaxlib._jax": ("Thing.go", "f"), "jax._src.core": ("x._y",)})\n'


@pytest.mark.parametrize(
    ("code", "undeclared"),
    [
        ("a.f(b.x)", []),
        ("a.g", ["jaxlib._jax.g"]),
        ("a.f.more", ["jaxlib._jax.f.more"]),
        ("b.x._y", []),
        ("b.x._z", ["jax._src.core.x._z"]),
        ("anything._y", []),
        ("anything.call()._z", ["anything.call()._z"]),
        ("self._z", []),
        ("thing = a.Thing()\nthing.go()", []),
        ("thing = a.Thing()\nthing.stop()", ["jaxlib._jax.Thing.stop"]),
        ("self.thing: Any = a.Thing\nself.thing.stop", ["jaxlib._jax.Thing.stop"]),
        ("executable.cost_analysis()", ["executable.cost_analysis"]),
        ("device.client.devices()", ["device.client.devices"]),
        ("device.client.go()", []),
        ("array.shape, array.dtype.kind", []),
        ("import_module('jax._src.core').y", ["jax._src.core"]),
        ("import_module('jax.core').y", []),
        ("getattr(value, '_z', None)", ["_z"]),
        ("Class(**{'_z': 1})", ["_z"]),
    ],
)
def test_an_undeclared_name_is_seen(code, undeclared):
    assert [name for _, name in PrivateNames(TABLE + code).faults()] == undeclared


def test_a_name_that_nobody_uses_is_seen():
    names = PrivateNames(TABLE + "a.f, b.x._y")
    assert names.unused() == ["jaxlib._jax.Thing.go"]
