"""Three older ways to differentiate, for comparison: difference quotients, symbols, and a tape of recorded numbers."""

import math

from functrans.ir.program import Var

# --------------------------------------------------------------------------------------------- difference quotients


def forward_difference(f, x, h):
    return (f(x + h) - f(x)) / h


def central_difference(f, x, h):
    return (f(x + h) - f(x - h)) / (2 * h)


# ---------------------------------------------------------------------------------------------------------- symbols


def plus(a, b):
    return b if a == 0.0 else a if b == 0.0 else ("add", a, b)


def times(a, b):
    return 0.0 if 0.0 in (a, b) else b if a == 1.0 else a if b == 1.0 else ("mul", a, b)


SYMBOLIC_RULES = {  # the derivative of an operation on a (and b), whose derivatives are da (and db)
    "add": lambda a, b, da, db: plus(da, db),
    "sub": lambda a, b, da, db: plus(da, times(-1.0, db)),
    "mul": lambda a, b, da, db: plus(times(da, b), times(a, db)),
    "log": lambda a, da: ("div", da, a),
    "sin": lambda a, da: times(da, ("cos", a)),
}
MEANING = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "div": lambda a, b: a / b,
    "log": math.log, "sin": math.sin, "cos": math.cos,
}  # fmt: skip


def expression(program):
    """The result of a program as one formula, which is a tree: what the program uses twice is written twice."""
    trees = {variable: f"x{i}" for i, variable in enumerate(program.inputs, 1)}
    for equation in program.equations:
        operands = [trees[atom] if isinstance(atom, Var) else atom.value for atom in equation.inputs]
        trees[equation.outputs[0]] = (equation.op.name, *operands)
    return trees[program.outputs[0]]


def symbolic_derivative(tree, symbol):
    """By the rules of calculus; zeros and ones are simplified away, as a pupil would."""
    if not isinstance(tree, tuple):
        return 1.0 if tree == symbol else 0.0
    operator, *operands = tree
    return SYMBOLIC_RULES[operator](*operands, *[symbolic_derivative(part, symbol) for part in operands])


def evaluated(tree, values):
    if not isinstance(tree, tuple):
        return values.get(tree, tree)
    return MEANING[tree[0]](*[evaluated(part, values) for part in tree[1:]])


def size(tree):
    """How many operations the formula has."""
    return 1 + sum(size(part) for part in tree[1:]) if isinstance(tree, tuple) else 0


# ----------------------------------------------------------------------------------------------------------- a tape


class Recorded:
    """A number that writes every operation on it, with its local partial derivatives, on the end of a tape.

    The number recorded may itself be recorded on an outer tape: that is how a tape is differentiated again.
    """

    def __init__(self, tape, value, *parents):
        self.tape, self.value, self.parents = tape, value, parents
        tape.append(self)

    def __add__(self, other):
        if isinstance(other, Recorded) and other.tape is self.tape:
            return Recorded(self.tape, self.value + other.value, (self, 1.0), (other, 1.0))
        return Recorded(self.tape, self.value + other, (self, 1.0))

    def __mul__(self, other):
        if isinstance(other, Recorded) and other.tape is self.tape:
            return Recorded(self.tape, self.value * other.value, (self, other.value), (other, self.value))
        return Recorded(self.tape, self.value * other, (self, other))

    def __sub__(self, other):
        return self + other * -1.0

    def __rtruediv__(self, one):
        reciprocal = one / self.value
        return Recorded(self.tape, reciprocal, (self, reciprocal * reciprocal * -1.0))

    __radd__, __rmul__ = __add__, __mul__

    def log(self):
        return Recorded(self.tape, Recorded.apply("log", self.value), (self, 1.0 / self.value))

    def sin(self):
        return Recorded(self.tape, Recorded.apply("sin", self.value), (self, Recorded.apply("cos", self.value)))

    def cos(self):
        return Recorded(self.tape, Recorded.apply("cos", self.value), (self, Recorded.apply("sin", self.value) * -1.0))

    @staticmethod
    def apply(name, x):
        return getattr(x, name)() if isinstance(x, Recorded) else getattr(math, name)(x)


def tape_gradient(f, lengths):
    """The derivative of f by one run forward, which fills a tape, and one walk back; notes how long the tape became."""

    def gradient(x):
        tape = []
        start = Recorded(tape, x)
        adjoints = {f(start): 1.0}
        for entry in reversed(tape):
            for parent, partial in entry.parents if entry in adjoints else ():
                adjoints[parent] = adjoints.get(parent, 0.0) + partial * adjoints[entry]
        lengths.append(len(tape))
        return adjoints[start]

    return gradient


class RecordedNumbers:
    """The namespace in which a function of recorded numbers finds log and sin."""

    log, sin = Recorded.log, Recorded.sin
