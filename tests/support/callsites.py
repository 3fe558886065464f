"""Where each durable step is made, read from the code.

A step is carried out by a room that only carries out: the store, the scripts of the queue and of the contract, a provider's
client. Each call of such a room from outside is a call site, named by its function: `store.settle` is made by
`dispatch.sending.Sender._settle`, and once more further down there, by `dispatch.sending.Sender._settle#2`.

Types are read from annotations by name: a variable, attribute or property that is somewhere said to be, or to hold, an
`Attempts` is one. Where a name has two meanings, that lists a site too many rather than one too few. A step that is made by a bound
method which was handed on, or by `getattr`, is not listed; but a process that is watched (`mortal`) and makes a step elsewhere than
at a listed site says so.
"""

from __future__ import annotations

import ast
import traceback
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from tests.support.programs import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

_CARRIES_OUT = ("tuma_producer.", "tuma_worker.store.", "tuma_worker.queue.scripts", "tuma_worker.providers.")
# Entrances and wiring; and what operators' commands alone do.
_NO_WORKER = (
    "tuma_worker.cli", "tuma_worker.gateway", "tuma_worker.sandbox", "tuma_worker.bootstrap",
    "tuma_worker.dispatch.redriving", "tuma_worker.events.replaying", "tuma_worker.events.subscribing",
)  # fmt: skip
_PROVIDERS = frozenset({"Client", "Custodian"})  # the protocols that a provider's clients keep
_BORNE = "script"  # the name under which a class bears its script

Function = ast.FunctionDef | ast.AsyncFunctionDef
Held = Mapping[str, frozenset[str]]


def carries_out(module: str) -> bool:
    """Whether a module only carries out what others decide to do."""
    return module.startswith(_CARRIES_OUT)


def function(module: str, qualified: str) -> str:
    """The name of a function: its module below the distribution, and its name there; what is inside a function is its own."""
    return f"{module.partition('.')[2]}.{qualified.partition('.<locals>')[0]}"


class Site(NamedTuple):
    """A call by which a step is made: its name, in which function it is, and there from which line to which."""

    step: str
    name: str
    function: str
    first: int
    last: int

    @property
    def is_under_way(self) -> bool:
        """Whether this thread is there."""
        return any(
            self.first <= line <= self.last and self.function == function(frame.f_globals["__name__"], frame.f_code.co_qualname)
            for frame, line in traceback.walk_stack(None)
        )


@dataclass(frozen=True)
class Code:
    """A function of the tree: its module, its class if it has one, and what it says."""

    module: str
    owner: str
    body: Function

    @property
    def qualified(self) -> str:
        return f"{self.owner}.{self.body.name}" if self.owner else self.body.name

    def __hash__(self) -> int:
        return hash((self.module, self.qualified))


class Tree:
    """Both distributions, and what may be called in them."""

    def __init__(self, provider_steps: frozenset[str]) -> None:
        self._provider_steps = provider_steps
        self._modules = dict(_modules())
        self._functions = [code for module, tree in self._modules.items() for code in _functions(module, tree)]
        self._methods = {(code.owner, code.body.name): code for code in self._functions if code.owner and carries_out(code.module)}
        self._plain = {
            (code.module, code.body.name): code for code in self._functions if not code.owner and carries_out(code.module)
        }
        self._imports = {module: dict(_imports(module, tree)) for module, tree in self._modules.items()}
        self._scripts = {module: dict(_scripts(module, tree)) for module, tree in self._modules.items()}
        self._bearers = dict(self._classes_with_scripts())
        self._steps: dict[Code, frozenset[str]] = {}

    def sites(self) -> list[Site]:
        """Every call site that a worker may come to."""
        return [site for code in self._functions if not carries_out(code.module) for site in self._sites_in(code)]

    def _sites_in(self, code: Code) -> Iterator[Site]:
        calls: defaultdict[str, list[ast.Call]] = defaultdict(list)
        for call in _calls(code.body):
            for step in self._made_by(code, call):
                calls[step].append(call)
        name = function(code.module, code.qualified)
        for step, (first, *others) in calls.items():
            # What is asked for at one place may run further down. Only where there are several, each has lines of its own.
            yield Site(step, name, name, *_lines(first if others else code.body))
            yield from (Site(step, f"{name}#{place}", name, *_lines(call)) for place, call in enumerate(others, start=2))

    def _made_by(self, code: Code, call: ast.Call) -> frozenset[str]:
        """The steps that a call comes to, if it goes to a room that carries out."""
        if isinstance(call.func, ast.Name):
            where = self._imports[code.module].get(call.func.id, (code.module, call.func.id))
            return self._comes_to(self._plain[where]) if where in self._plain else frozenset()
        return frozenset().union(*self._method_called(code, call.func)) if isinstance(call.func, ast.Attribute) else frozenset()

    def _method_called(self, code: Code, called: ast.Attribute) -> Iterator[frozenset[str]]:
        for owner in self._owners(code, called.value):
            if owner in _PROVIDERS and f"provider.{called.attr}" in self._provider_steps:
                yield frozenset({f"provider.{called.attr}"})
            elif (owner, called.attr) in self._methods:
                yield self._comes_to(self._methods[owner, called.attr])
        if isinstance(called.value, ast.Attribute) and called.value.attr == _BORNE:
            for owner in self._owners(code, called.value.value):
                yield self._bearers.get(owner, frozenset())

    def _classes_with_scripts(self) -> Iterator[tuple[str, frozenset[str]]]:
        """The classes that bear a script of their own, with its step."""
        for module, tree in self._modules.items():
            for bearer in (node for node in tree.body if isinstance(node, ast.ClassDef)):
                for node in bearer.body:
                    if isinstance(node, ast.Assign) and _name(node.targets[0]) == _BORNE:
                        yield bearer.name, frozenset({self._scripts[module][_name(node.value)]})

    def _comes_to(self, code: Code) -> frozenset[str]:
        """The steps that a function of such a room makes, itself or by others of them."""
        if code not in self._steps:
            self._steps[code] = frozenset()  # it may come back to itself
            names = {node.id for node in ast.walk(code.body) if isinstance(node, ast.Name)}
            own = frozenset(step for name, step in self._scripts[code.module].items() if name in names)
            self._steps[code] = own.union(*(self._made_by(code, call) for call in _calls(code.body)))
        return self._steps[code]

    def _owners(self, code: Code, receiver: ast.expr) -> frozenset[str]:
        """The classes that a method may be of, by what it is called on."""
        name = _name(receiver)
        if name == "self":
            return frozenset({code.owner})
        return frozenset({name}) if name in self._classes else self._held(code.module).get(name, frozenset())

    @cached_property
    def _classes(self) -> frozenset[str]:
        return frozenset({owner for owner, _ in self._methods} | self._bearers.keys() | _PROVIDERS)

    @cached_property
    def _fields(self) -> Held:
        """The classes that a field, or what a function returns, is said to be or to hold, anywhere."""
        held: defaultdict[str, frozenset[str]] = defaultdict(frozenset)
        for name, words in (pair for tree in self._modules.values() for pair in _declared(tree)):
            held[name] |= words & self._classes
        return held

    @cache  # noqa: B019 - there is one tree, for as long as the tests run
    def _held(self, module: str) -> Held:
        """The same, with what is said of a module's own variables: what they are made of, or what they go through."""
        held, variables = defaultdict(frozenset, self._fields), list(_variables(self._modules[module]))
        before = -1
        while before != (before := sum(map(len, held.values()))):
            for name, words in variables:
                held[name] |= (words & self._classes).union(*(held[word] for word in words if word in held))
        return held


def _calls(body: Function) -> list[ast.Call]:
    """All calls in a function, in their order."""
    return sorted((node for node in ast.walk(body) if isinstance(node, ast.Call)), key=attrgetter("lineno", "col_offset"))


def _lines(node: ast.Call | Function) -> tuple[int, int]:
    return node.lineno, node.end_lineno or node.lineno


def _declared(tree: ast.AST) -> Iterator[tuple[str, frozenset[str]]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign):
            yield _name(node.target), _words(node.annotation)
        elif isinstance(node, ast.FunctionDef) and node.returns is not None:
            yield node.name, _words(node.returns)


def _variables(tree: ast.AST) -> Iterator[tuple[str, frozenset[str]]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and node.annotation is not None:
            yield node.arg, _words(node.annotation)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, _words(node.value)
        elif isinstance(node, ast.For | ast.comprehension):
            words = _words(node.iter)
            yield from ((one.id, words) for one in ast.walk(node.target) if isinstance(one, ast.Name))


def _words(said: ast.expr) -> frozenset[str]:
    """The last names of all that is in an expression."""
    return frozenset(_name(node) for node in ast.walk(said))


def _name(node: ast.AST) -> str:
    """The last name of an expression: `attempts` of `outlet.attempts`, and of `outlets[account].attempts`."""
    while isinstance(node, ast.Subscript | ast.Call):
        node = node.value if isinstance(node, ast.Subscript) else node.func
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _functions(module: str, tree: ast.Module) -> Iterator[Code]:
    for node in tree.body:
        if isinstance(node, Function):
            yield Code(module, "", node)
        elif isinstance(node, ast.ClassDef):
            yield from (Code(module, node.name, inside) for inside in node.body if isinstance(inside, Function))


def _imports(module: str, tree: ast.Module) -> Iterator[tuple[str, tuple[str, str]]]:
    """The names that a module takes from others, with where they are from."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            assert node.level == 0, f"{module} has a relative import"
            yield from ((one.asname or one.name, (node.module, one.name)) for one in node.names)


def _scripts(module: str, tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The constants of a module that are scripts, with the names of their steps."""
    room = module.rpartition(".")[0].rpartition(".")[2]
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and _name(node.value) == "load":
            script = ast.literal_eval(node.value.args[-1])
            yield _name(node.targets[0]), f"{room}.{script}"


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for distribution in ("producer", "worker"):
        root = ROOT / distribution / "src"
        for path in sorted(root.rglob("*.py")):
            module = ".".join(path.relative_to(root).with_suffix("").parts)
            if not module.startswith(_NO_WORKER):
                yield module, ast.parse(path.read_text(encoding="utf-8"))
