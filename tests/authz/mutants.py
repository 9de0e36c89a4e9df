"""Finding and taking away the product's access checks, one at a time. Pure: syntax trees in, syntax trees out.

A mutant widens: a filter of SQL becomes true, a check of roles or scope says yes, a refusal is skipped, a role's guard
lets every account in. What only narrows, or concerns a command line, is no access check and is left alone.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_LEFT_OUT = re.compile(
    r"/(demo|migrations|backup|deploy)/|"
    r"/(commands|cli|scheduler|schema|migrate|documented|envelope|pulse|region_table|observed)\.py$"
)
_TRUE = "__import__('sqlalchemy').true()"
_EVERYBODY = "__import__('server.gate', fromlist=['Anyone']).Anyone"
_ROLES = "*__import__('server.access', fromlist=['Role']).Role"
_FILTERS = {
    "within", "in_regions", "people_in_sight", "people_in_reach", "postings_in_sight", "in_reach", "_posted_under",
    "_visible", "_of_units", "_inspected",
}  # fmt: skip
_CHECKS = {"has", "reaches", "person_in_reach"}
_OWNERS = {"person_id", "account_id", "posting_id"}
_NO_MORE = {"revoked_at", "disabled_at"}
_REACHING = {"reach", "scope", "prefix"}
_OPERATOR = {"access_import", "access_policy_to_publish"}
_TELLING = re.compile(r"\b(who|asking|fault|reach\w*|version)\b|account_id")
_REFUSING = re.compile(
    r"NOT_FOUND|FORBIDDEN|OWN_ACCOUNT|GRANT_NOT_ALLOWED|PERSON_UNKNOWN|_not_allowed|refused\(|not_found\("
)
_SQL = re.compile(
    r"[\w.]+ (?:\^@ ANY|= ANY|<> ALL)\(CAST\(:(?:official|inspected|avoided|units) AS \w+\[\]\)\)"
)


@dataclass(frozen=True)
class Mutant:
    """One check to take away. `nth` counts the checks of the file; `function` encloses it ("" on module level)."""

    path: str
    nth: int
    line: int
    function_line: int
    what: str

    @property
    def name(self) -> str:
        """Return a name that stays while lines move: the file and the text of the check, with its number of its like."""
        return f"{self.path}: {self.what}"


@dataclass
class _Found:
    node: ast.AST
    new: ast.AST
    what: str
    function_line: int


class _Finder(ast.NodeVisitor):
    """Gathers what can be taken away, each with what stands in its place."""

    def __init__(self) -> None:
        self.found: list[_Found] = []
        self._functions: list[ast.FunctionDef | ast.AsyncFunctionDef] = []

    def _take(self, node: ast.AST, new: str | ast.AST, why: str) -> None:
        made = ast.parse(new, mode="eval").body if isinstance(new, str) else new
        names = ".".join(each.name for each in self._functions)
        line = self._functions[-1].lineno if self._functions else 0
        text = ast.unparse(node).splitlines()[0][:110]
        self.found.append(_Found(node, made, f"{names or 'module'}: {why}: {text}", line))

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._functions.append(node)
        for argument in (*node.args.args, *node.args.kwonlyargs):
            role = argument.annotation
            if (
                isinstance(role, ast.Name)
                and argument.arg in {"who", "_who"}
                and role.id not in {"Who", "Anyone"}
            ):
                self._take(role, _EVERYBODY, "every account instead of")
        self.generic_visit(node)
        self._functions.pop()

    visit_FunctionDef = _function  # noqa: N815  ast's names.
    visit_AsyncFunctionDef = _function  # noqa: N815  ast's names.

    def visit_Call(self, node: ast.Call) -> None:
        name = _name(node.func)
        owner = _name(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        if name in _FILTERS and owner != "deadlines" and not (name == "_inspected" and len(node.args) > 2):
            self._take(node, _TRUE, "no filter")
        elif name in _CHECKS and isinstance(node.func, ast.Attribute):
            self._take(node, "True", "always yes")
        elif name == "requires":
            self._take(node, f"requires({_ROLES})", "every role")
        elif name == "regions" and owner in {"who", "asking"}:
            self._take(node, "('',)", "everywhere")
        elif name == "in_force" and owner == "rules":
            self._take(node, f"tuple({ast.unparse(node.args[0])})", "also grants out of their time")
        elif name == "grant_fault":
            self._take(node, "None", "no fault")
        elif name == "is_" and isinstance(node.func, ast.Attribute) and _name(node.func.value) in _NO_MORE:
            self._take(node, _TRUE, "also ended ones")
        elif name == "in_" and node.args and _name(node.args[0]) == "units":
            self._take(node, _TRUE, "every unit")
        elif name == "startswith" and node.args and _name(node.args[0]) in _REACHING:
            self._take(node, "True", "always yes")
        elif name in _OPERATOR and len(node.args) > 1 and _name(node.args[1]) == "who":
            arguments = [node.args[0], ast.Constant(None), *node.args[2:]]
            self._take(node, ast.Call(node.func, arguments, node.keywords), "as the operator")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        left, right, how = node.left, node.comparators[0], node.ops[0]
        column = isinstance(left, ast.Attribute) and _is_table(left.value)
        if isinstance(how, ast.Eq) and column and _name(left) in _OWNERS and not _is_column(right):
            self._take(node, _TRUE, "anybody's")
        elif isinstance(how, ast.In) and _name(left) == "role" and not column:
            self._take(node, "True", "any role")
        elif (
            isinstance(how, ast.NotEq)
            and _name(right) == "version"
            and "session" in ast.unparse(node) + str([each.name for each in self._functions])
        ):
            self._take(node, "False", "also stale ones")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        negated = node.operand if isinstance(node.op, ast.Invert) else None
        if isinstance(negated, ast.Call) and _name(negated.func) in {"_revoked", "_holds", "within"}:
            self._take(node, _TRUE, "no exception")
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            name = _name(node.value.func)
            if ast.unparse(node.value.func).endswith("doorkeeper.admit") or name.startswith(
                ("access_", "refuse_zones", "_refuse_out")
            ):
                self._take(node, ast.Pass(), "not asked")
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        refuses = len(node.body) == 1 and isinstance(node.body[0], ast.Raise)
        if (
            refuses
            and _REFUSING.search(ast.unparse(node.body[0]))
            and _TELLING.search(ast.unparse(node.test))
        ):
            self._take(node.test, "False", "never refused")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            for match in _SQL.finditer(node.value):
                new = node.value[: match.start()] + "true" + node.value[match.end() :]
                self._take(node, ast.Constant(new), f"true instead of {match.group()}")


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _is_table(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id[:1].isupper()


def _is_column(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and (
        _is_table(node.value) or _name(node.value) in {"c", "own", "earlier"}
    )


def _found(path: Path) -> tuple[ast.Module, list[_Found]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    finder = _Finder()
    finder.visit(tree)
    return tree, finder.found


def all_mutants() -> Iterator[Mutant]:
    """Find every check of the product, in the order of files and lines."""
    for path in sorted((ROOT / "server").rglob("*.py")):
        if _LEFT_OUT.search(str(path)):
            continue
        met: dict[str, int] = {}
        for nth, found in enumerate(_found(path)[1]):
            times = met[found.what] = met.get(found.what, 0) + 1
            what = found.what if times == 1 else f"{found.what} ({times})"
            line = getattr(found.node, "lineno", 0)
            yield Mutant(str(path.relative_to(ROOT)), nth, line, found.function_line, what)


class _Swap(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        if node is self.old:
            return ast.copy_location(self.new, node)
        visited: ast.AST = self.generic_visit(node)
        return visited


def mutated(mutant: Mutant) -> ast.Module:
    """Return the file's tree with the check taken away."""
    tree, found = _found(ROOT / mutant.path)
    chosen = found[mutant.nth]
    _Swap(chosen.node, chosen.new).visit(tree)
    return ast.fix_missing_locations(tree)
