"""The examples in docstrings, run as they stand in the source: a compiled module hides its own."""

import ast
import doctest
from pathlib import Path
from types import ModuleType

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


def run_examples(module: ModuleType) -> doctest.TestResults:
    """Runs them with the module's names."""
    source = Path(*module.__name__.split(".")).with_suffix(".py")
    path = Path(__file__).parent.parent / source
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, _DOCUMENTED) and (text := ast.get_docstring(node)):
            names = dict(vars(module))
            runner.run(parser.get_doctest(text, names, module.__name__, str(path), 0))
    return runner.summarize()
