"""Putting a mutant into this process: by another code object, or by importing the product with one file changed."""

import ast
import importlib
import importlib.abc
import importlib.util
import inspect
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import CodeType, FunctionType, ModuleType

from authz.mutants import ROOT, Mutant, mutated

_OURS = ("server", "geo", "authz.b", "authz.w", "authz.table", "authz.aims", "conftest", "factories")


def import_anew(mutant: Mutant) -> None:
    """Let the product be imported, again if it was already, with the check taken away."""
    for name in [each for each in sys.modules if each.startswith(_OURS)]:
        del sys.modules[name]
    sys.meta_path.insert(0, _Changed(mutant))


class _Changed(importlib.abc.MetaPathFinder):
    """Imports one file of the product with one check taken away."""

    def __init__(self, mutant: Mutant) -> None:
        self.module = mutant.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        self.path = str(ROOT / mutant.path)
        self.tree: ast.Module = mutated(mutant)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Answer for the changed module alone."""
        del path, target
        if name != self.module:
            return None
        return importlib.util.spec_from_file_location(name, self.path, loader=_Loader(self.tree, self.path))


class _Loader(importlib.abc.Loader):
    def __init__(self, tree: ast.Module, path: str) -> None:
        self.tree, self.path = tree, path

    def exec_module(self, module: ModuleType) -> None:
        """Run the changed tree."""
        exec(compile(self.tree, self.path, "exec"), module.__dict__)  # noqa: S102  It is the product's own file.


def swapped(mutant: Mutant) -> bool:
    """Give the function that holds the check its mutated code; False when it is no function that can be found."""
    top = mutant.what.partition(":")[0].split(".")
    if len(top) > 1:
        return False  # A function within a function may have been made already, when the routes were.
    module = importlib.import_module(mutant.path.removesuffix(".py").replace("/", "."))
    code = compile(mutated(mutant), str(ROOT / mutant.path), "exec")
    for holder in (None, *(each for each in vars(module).values() if isinstance(each, type))):
        found = vars(module if holder is None else holder).get(top[0])
        found = getattr(found, "fget", None) or getattr(found, "func", None) or found
        function = inspect.unwrap(found) if callable(found) else None
        if not isinstance(function, FunctionType) or function.__module__ != module.__name__:
            continue
        if mutant.line not in _lines(function.__code__):
            continue  # A namesake in another class.
        new = [each for each in _codes(code) if each.co_qualname == function.__code__.co_qualname]
        if len(new) == 1 and new[0].co_freevars == function.__code__.co_freevars:
            function.__code__ = new[0]
            return True
    return False


def _lines(code: CodeType) -> range:
    """Return the lines of the file that a function's code was made from."""
    lines = [line for each in (code, *_codes(code)) for _, _, line in each.co_lines() if line is not None]
    return range(min(lines), max(lines) + 1)


def _codes(code: CodeType) -> Iterator[CodeType]:
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield each
            yield from _codes(each)
