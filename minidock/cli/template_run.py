"""Go templates, executed: the tree of `template_parse.py` over what a command would have printed.

A list command gives one `Fields` per line, with the names of Docker's formatter; inspect gives
whole JSON documents. The difference shows in errors and in printed values: Docker's lists are Go
objects (`can't evaluate field Foo in type *formatter.ContainerContext`), its documents are first a
typed struct and then a map (`map has no entry for key "Foo"`). `Shape` says what JSON cannot: which
of a document's objects are maps (`map[a:b]`, where a missing key is no error), and which of its
nulls are empty lists.

See: text/template exec.go, whose functions these are (evalPipeline, evalCommand, evalField …).
"""

from __future__ import annotations

from minidock.cli.template_functions import (
    FUNCTIONS,
    Function,
    GoMap,
    NilList,
    NoValue,
    Row,
    is_true,
    show,
    type_name,
)
from minidock.cli.template_parse import (
    Action,
    Branch,
    Call,
    Chain,
    Dot,
    Field,
    Identifier,
    Leave,
    Literal,
    Node,
    Parser,
    Pipe,
    TemplateError,
    Text,
    Variable,
)
from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

_NONE: tuple[object, ...] = ()  # no value came through the pipe
_LOGIC = ("and", "or")  # they look at no more arguments than they need


class Fields(Record):
    """One line of a list. `values` are texts, or functions: of no argument where a value costs
    something to find out (`Size`), of one for what Docker makes a method (`Label "x"`).

    `type_name` stands in error messages: `*formatter.ContainerContext`.
    """

    type_name: str
    values: Mapping[str, object]

    def plain(self) -> Row:
        """What `json` prints: every field that needs no argument, sorted."""
        return Row(
            (name, value() if callable(value) else value)
            for name, value in sorted(self.values.items())
            if not (callable(value) and _arguments(value))
        )


def _arguments(function: Any) -> int:
    """How many arguments must be given."""
    bound = len(function.__defaults__ or ()) + (getattr(function, "__self__", None) is not None)
    return int(function.__code__.co_argcount) - bound


class Shape(Record):
    """What is known about a document besides its JSON, by the names of keys.

    `maps`: objects that are maps, and what `index` gives for a key they do not have.
    `lists`: nulls that are empty lists. `optional`: keys that may be
    absent, and what they are then.
    """

    maps: Mapping[str, object]
    lists: frozenset[str]
    optional: Mapping[str, object]


def marked(value: object, shape: Shape, name: str = "") -> object:
    """A document with its maps as GoMap and its null lists as NilList."""
    if value is None:
        return NilList() if name in shape.lists else GoMap() if name in shape.maps else None
    if isinstance(value, list):
        return [marked(item, shape) for item in value]
    if not isinstance(value, dict):
        return value
    items = {key: marked(item, shape, key) for key, item in value.items()}
    if name not in shape.maps and items:
        return items
    out = GoMap(items)
    out.zero = shape.maps.get(name)
    return out


class _Leave(Exception):
    """Leaving a range: `break` or `continue`."""


class Template:
    """A template that can be executed any number of times.

    `parse_words` and `run_words` go before the messages of errors. Raises TemplateError.
    """

    def __init__(
        self,
        source: str,
        functions: Mapping[str, Function] = FUNCTIONS,
        *,
        shape: Shape | None = None,
        parse_words: str = "",
        run_words: str = "",
    ) -> None:
        self.source = source
        self.functions = functions
        self.shape = shape
        self.run_words = run_words
        try:
            self.nodes = Parser(source, {*functions, *_LOGIC}).parse()
        except TemplateError as error:
            raise TemplateError(parse_words + error.message) from None

    def execute(self, data: object) -> str:
        """The text for one value."""
        out: list[str] = []
        try:
            _Run(self, data, out).walk(self.nodes, data)
        except TemplateError as error:
            raise TemplateError(self.run_words + error.message) from None
        return "".join(out)


class _Run:
    """One execution: the variables, and what has been written."""

    def __init__(self, template: Template, data: object, out: list[str]) -> None:
        self.template = template
        self.out = out
        self.variables: list[tuple[str, object]] = [("$", data)]

    def error(self, node: Node, message: str) -> TemplateError:
        """`template: :1:2: executing "" at <.Foo>: …`"""
        before = self.template.source[: node.pos]
        line = before.count("\n") + 1
        column = len(before.rpartition("\n")[2].encode("utf-8", "surrogateescape"))
        return TemplateError(f'template: :{line}:{column}: executing "" at <{node}>: {message}')

    def walk(self, nodes: tuple[Node, ...], dot: object) -> None:
        """Write nodes."""
        for node in nodes:
            if isinstance(node, Text):
                self.out.append(node.text)
            elif isinstance(node, Action):
                value = self.pipe(node.pipe, dot)
                if not node.pipe.variables:
                    self.out.append(show(_plain(value)))
            elif isinstance(node, Leave):
                raise _Leave(node.kind)
            elif isinstance(node, Branch):
                known = len(self.variables)
                if node.kind == "range":
                    self.range(node, dot)
                else:
                    self.condition(node, dot)
                del self.variables[known:]

    def condition(self, node: Branch, dot: object) -> None:
        """`if` and `with`."""
        value = self.pipe(node.pipe, dot)
        if is_true(value):
            self.walk(node.body, value if node.kind == "with" else dot)
        else:
            self.walk(node.otherwise, dot)

    def range(self, node: Branch, dot: object) -> None:
        """Once per item; `else` if there is none."""
        names = node.pipe.variables
        value = self.pipe(node.pipe.but(variables=()), dot)
        empty = True
        for key, item in self.items(node.pipe, value):
            empty = False
            known = len(self.variables)
            for name, part in zip(names, (item,) if len(names) == 1 else (key, item), strict=False):
                self.bind(name, part, assigns=node.pipe.assigns)
            try:
                self.walk(node.body, item)
            except _Leave as leave:
                if leave.args[0] == "break":
                    break
            finally:
                del self.variables[known:]
        if empty:
            self.walk(node.otherwise, dot)

    def items(self, node: Node, value: object) -> Iterator[tuple[object, object]]:
        """The keys and values of a list, a map (sorted), or the numbers below an int."""
        if isinstance(value, dict):
            yield from sorted(value.items())
        elif isinstance(value, (list, tuple)):
            yield from enumerate(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            yield from enumerate(range(value))
        elif value is not None and not isinstance(value, NoValue):
            raise self.error(node, f"range can't iterate over {show(value)}")

    def bind(self, name: str, value: object, *, assigns: bool) -> None:
        """Declare a variable, or change the innermost one of that name."""
        if assigns:
            at = max(i for i, (known, _) in enumerate(self.variables) if known == name)
            self.variables[at] = (name, value)
        else:
            self.variables.append((name, value))

    def pipe(self, node: Pipe, dot: object) -> object:
        """The value of a pipeline; its variable is set."""
        final = _NONE
        for call in node.calls:
            final = (self.call(call, dot, final),)
        for name in node.variables:
            self.bind(name, final[0], assigns=node.assigns)
        return final[0]

    def call(self, node: Call, dot: object, final: tuple[object, ...]) -> object:
        """One command. `final` is what came through the pipe, if anything did."""
        first, rest = node.args[0], node.args[1:]
        if isinstance(first, Identifier):
            return self.function(node, first, rest, dot, final)
        if isinstance(first, (Field, Variable, Chain)):
            return self.operand(first, dot, rest, final)
        if rest or final:
            raise self.error(first, f"can't give argument to non-function {first}")
        if isinstance(first, Literal) and first.value is None:
            raise self.error(first, "nil is not a command")
        return self.operand(first, dot)

    def operand(
        self,
        node: Node,
        dot: object,
        args: tuple[Node, ...] = (),
        final: tuple[object, ...] = _NONE,
    ) -> object:
        """The value of anything that can stand in a command."""
        if isinstance(node, Literal):
            return node.value
        if isinstance(node, Dot):
            return dot
        if isinstance(node, Pipe):
            return self.pipe(node, dot)
        if isinstance(node, Identifier):
            return self.function(Call(node.pos, (node,)), node, (), dot, _NONE)
        names: tuple[str, ...] = ()
        value = dot
        if isinstance(node, Field):
            names = node.names
        elif isinstance(node, Variable):
            names = node.names
            value = next(value for name, value in reversed(self.variables) if name == node.name)
        elif isinstance(node, Chain):
            names, value = node.names, self.operand(node.node, dot)
        if not names and (args or final):
            raise self.error(node, f"can't give argument to non-function {node}")
        for name in names[:-1]:
            value = self.field(node, value, name, last=False)
        if not names:
            return value
        given = tuple(self.operand(arg, dot) for arg in args) + final
        return self.field(node, value, names[-1], last=True, args=given)

    def field(
        self, node: Node, value: object, name: str, *, last: bool, args: tuple[object, ...] = ()
    ) -> object:
        """`.name` of a value: a field, a map's key, or a method with its arguments."""
        shape = self.template.shape
        if isinstance(value, Fields):
            if name not in value.values:
                raise self.error(node, f"can't evaluate field {name} in type {value.type_name}")
            found = value.values[name]
        elif isinstance(value, GoMap):
            found = value.get(name, NoValue())
        elif isinstance(value, dict):
            if name in value:
                found = value[name]
            elif last and shape and name in shape.optional:
                found = marked(shape.optional[name], shape, name)
            else:
                raise self.error(node, f'map has no entry for key "{name}"')
        elif value is None or isinstance(value, NoValue):
            raise self.error(node, f"nil pointer evaluating interface {{}}.{name}")
        else:
            kind = "interface {}" if shape else type_name(value)
            raise self.error(node, f"can't evaluate field {name} in type {kind}")
        wanted = _arguments(found) if callable(found) else 0
        if len(args) != wanted:
            count = f"want {wanted} got {len(args)}"
            raise self.error(node, f"wrong number of args for {name}: {count}")
        return found(*args) if callable(found) else found

    def function(
        self,
        node: Call,
        name: Identifier,
        args: tuple[Node, ...],
        dot: object,
        final: tuple[object, ...],
    ) -> object:
        """Call a function of the table, after checking what it gets."""
        if name.name in _LOGIC:
            return self.logic(name, args, dot, final)
        function = self.template.functions[name.name]
        takes = function.takes.rstrip("*")
        count = len(args) + len(final)
        fixed = len(takes)
        if takes != function.takes:
            fixed -= 1
            if count < fixed:
                want = f"want at least {fixed} got {count}"
                raise self.error(name, f"wrong number of args for {name}: {want}")
            takes = takes[:-1] + takes[-1] * (count - fixed)
        elif count != fixed:
            raise self.error(name, f"wrong number of args for {name}: want {fixed} got {count}")
        values = [self.argument(arg, dot, kind) for arg, kind in zip(args, takes, strict=False)]
        for value in final:
            self.check(node, value, takes[-1])
            values.append(value)
        try:
            return function.call(*map(_plain, values))
        except ValueError as error:
            raise self.error(node, f"error calling {name}: {error}") from None

    def logic(
        self, name: Identifier, args: tuple[Node, ...], dot: object, final: tuple[object, ...]
    ) -> object:
        """`and` gives its first false argument, `or` its first true one, or else the last."""
        if not args and not final:
            raise self.error(name, f"wrong number of args for {name}: want at least 1 got 0")
        value: object = None
        for arg in args:
            value = self.operand(arg, dot)
            if is_true(value) == (name.name == "or"):
                return value
        return final[0] if final else value

    def argument(self, node: Node, dot: object, kind: str) -> object:
        """An argument of a function; a constant of the wrong kind is told from a value."""
        wanted = {"s": "string", "i": "integer"}.get(kind)
        if isinstance(node, Literal) and wanted:
            if node.value is None:
                raise self.error(node, f"cannot assign nil to {_TYPES[kind]}")
            if not _fits(node.value, kind):
                raise self.error(node, f"expected {wanted}; found {node}")
        value = self.operand(node, dot)
        self.check(node, value, kind)
        return value

    def check(self, node: Node, value: object, kind: str) -> None:
        """Refuse a value of the wrong type."""
        if not _fits(value, kind):
            found = f"expected {_TYPES[kind]}; got {type_name(value)}"
            raise self.error(node, f"wrong type for value; {found}")


def _plain(value: object) -> object:
    """A whole line as the functions see it: `{{json .}}`."""
    return value.plain() if isinstance(value, Fields) else value


_TYPES = {"s": "string", "i": "int", "l": "[]string"}


def _fits(value: object, kind: str) -> bool:
    if kind == "s":
        return isinstance(value, str)
    if kind == "i":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "l":
        return isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)
    return True
