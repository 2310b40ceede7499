"""The changes that `benchmarks.mutate` makes to a module's source."""

import libcst as cst
from mutmut.mutation import mutators

# In calls of this function only numbers and booleans are changed: its other arguments are texts.
FIELD = "_flag"
# Calls that are not changed: the changes of the first two always fail, and the last sends signals.
LEFT_OUT = ("len", "isinstance", "os.kill")


def without(node):
    """Remove a statement: an operator like mutmut's."""
    if not isinstance(node.value, cst.BaseString | cst.Yield):
        yield cst.Pass()


def longer(node):
    """Add characters around a text: the first of the three changes of mutmut's operator."""
    yield from list(mutators.operator_string(node))[:1]


OPERATORS = [
    *(
        (kind, longer if change is mutators.operator_string else change)
        for kind, change in mutators.mutation_operators
        if kind is not cst.AnnAssign  # fields of a class; their values are changed
    ),
    (cst.Expr, without),
]
OF_FIELDS = [(cst.BaseNumber, mutators.operator_number), (cst.Name, mutators.operator_name)]


class _Finder(cst.CSTVisitor):
    """Collects (function, node, replacement)."""

    def __init__(self):
        super().__init__()
        self.found, self.names, self.fields = [], [], 0

    def on_visit(self, node):
        called = cst.Module([]).code_for_node(node.func) if isinstance(node, cst.Call) else ""
        if isinstance(node, cst.Annotation | cst.Decorator) or called in LEFT_OUT:
            return False
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self.names.append(node.name.value)
        self.fields += called == FIELD
        for kind, change in OF_FIELDS if self.fields else OPERATORS:
            if isinstance(node, kind):
                self.found += [(".".join(self.names), node, new) for new in change(node)]
        return True

    def on_leave(self, node):
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self.names.pop()
        called = cst.Module([]).code_for_node(node.func) if isinstance(node, cst.Call) else ""
        self.fields -= called == FIELD


def mutants(source):
    """Return all changes of a module: (function, lines before, lines after) → changed source."""
    found, end = {}, 0
    module = cst.parse_module(source)
    for statement in module.body:
        text = module.code_for_node(statement)
        begin = source.index(text, end)
        end = begin + len(text)
        finder = _Finder()
        statement.visit(finder)
        for function, node, new in finder.found:
            changed = module.code_for_node(statement.deep_replace(node, new))
            if _compiles(changed):
                key = (function, *difference(text, changed))
                found.setdefault(key, source[:begin] + changed + source[end:])
    return found


def _compiles(text):
    try:
        compile(text, "changed", "exec")
    except SyntaxError:
        return False
    return True


def difference(source, changed):
    """Return the changed lines (before, after), without indents, each joined to one line."""
    before, after = source.splitlines(), changed.splitlines()
    for _ in range(2):  # drop equal lines at the beginning, then at the end
        while before and after and before[0] == after[0]:
            del before[0], after[0]
        before.reverse(), after.reverse()
    return " ".join(map(str.strip, before)), " ".join(map(str.strip, after))
