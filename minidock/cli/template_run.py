"""Go templates, executed: the tree of `template_parse.py` over what a command would have printed.

Nodes are evaluated from the inside out. A command of a pipeline gets what the one before it gave as
its last argument; `.` is the value that stands in `with` and `range` for what they are about.

See: text/template exec.go, whose functions these are (evalPipeline, evalCommand, evalField …).
"""

from __future__ import annotations

from minidock.cli.template_functions import FUNCTIONS, Function
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
from minidock.cli.template_values import (
    Fields,
    GoMap,
    NoValue,
    Shape,
    argument_count,
    as_maps,
    is_true,
    marked,
    show,
    type_name,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NONE: tuple[object, ...] = ()  # no value came through the pipe
_MISSING = NoValue()
_LOGIC = ("and", "or")  # they look at no more arguments than they need


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
        try:
            return _Run(self, data).text()
        except TemplateError as error:
            raise TemplateError(self.run_words + error.message) from None

    def execute_document(self, document: object) -> str:
        """The text for a JSON document: with Docker's types, and if that fails without.

        `{{.ID}}` is a field of Docker's struct and `{{.Id}}` a key of its JSON. Both are known, at
        the price that a template that uses the second sees `map[…]` for every object. (In Docker
        it also sees texts for numbers, and `{{if .State.ExitCode}}` is always true. Not here.)
        """
        if self.shape is None:
            return self.execute(as_maps(document))
        try:
            return _Run(self, marked(document, self.shape)).text()
        except TemplateError:
            pass
        try:
            return _Run(self, as_maps(document), strict=True).text()
        except TemplateError as error:
            raise TemplateError(self.run_words + error.message) from None


class _Run:
    """One execution: the variables, what has been written, and where it is now.

    `strict` makes a key that a map does not have an error.
    """

    def __init__(self, template: Template, data: object, *, strict: bool = False) -> None:
        self.template = template
        self.strict = strict
        self.data = data
        self.out: list[str] = []
        self.variables: list[tuple[str, object]] = [("$", data)]
        self.at: Node = Text(0, "")

    def text(self) -> str:
        """Execute the whole template."""
        self.walk(self.template.nodes, self.data)
        return "".join(self.out)

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
                    self.out.append(show(value.plain() if isinstance(value, Fields) else value))
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
            value = self.call(call, dot, final)
            final = (NoValue() if value is None and self.strict else value,)
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
        self.at = node
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
            value = self.field(node, value, name)
        if not names:
            return value
        given = tuple(self.operand(arg, dot) for arg in args) + final
        return self.field(node, value, names[-1], given)

    def field(self, node: Node, value: object, name: str, args: tuple[object, ...] = ()) -> object:
        """`.name` of a value: a field, a map's key, or a method with its arguments."""
        typed = not self.strict or isinstance(node, Chain)
        if isinstance(node, Chain):
            node = self.at  # Go names the last thing it looked at, which is in the parentheses
        if isinstance(value, Fields):
            if name not in value.values:
                raise self.error(node, f"can't evaluate field {name} in type {value.type_name}")
            return self.method(node, value.values[name], name, args)
        if isinstance(value, GoMap):
            return self.key(node, value, name, args)
        if isinstance(value, dict):
            if args:
                raise self.error(node, f"{name} has arguments but cannot be invoked as function")
            return self.struct_field(node, value, name)
        if isinstance(value, NoValue) and not self.strict:
            return value
        if isinstance(value, NoValue):
            raise self.error(node, f'nil data; no entry for key "{name}"')
        if value is None:
            raise self.error(node, f"nil pointer evaluating interface {{}}.{name}")
        kind = type_name(value) if typed else "interface {}"
        raise self.error(node, f"can't evaluate field {name} in type {kind}")

    def key(self, node: Node, value: GoMap, name: str, args: tuple[object, ...]) -> object:
        """The value of a map's key."""
        found = value.get(name, _MISSING)
        if callable(found):  # the header of a table has `Label`
            return self.method(node, found, name, args)
        if args:
            raise self.error(node, f"{name} is not a method but has arguments")
        if found is not _MISSING:
            return found
        if self.strict:
            raise self.error(node, f'map has no entry for key "{name}"')
        return _MISSING

    def struct_field(self, node: Node, value: dict[str, object], name: str) -> object:
        """A field of one of Docker's types, under the name it has there."""
        shape = self.template.shape
        key = shape.go_names.get(name, name) if shape else name
        only_json = key == name and shape is not None and name in shape.go_names.values()
        if key in value and not only_json:
            return value[key]
        if shape and name in shape.optional:
            return marked(shape.optional[name], shape, name)
        raise self.error(node, f"can't evaluate field {name}")

    def method(self, node: Node, found: object, name: str, args: tuple[object, ...]) -> object:
        """The value of a field of a list's line; some want arguments."""
        wanted = argument_count(found) if callable(found) else 0
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
        self.at = name
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
        if isinstance(value, NoValue) and kind in _TYPES:
            raise self.error(node, f"invalid value; expected {_TYPES[kind]}")
        if not _fits(value, kind):
            found = f"expected {_TYPES[kind]}; got {type_name(value)}"
            raise self.error(node, f"wrong type for value; {found}")


def _plain(value: object) -> object:
    """A value as functions see it: a whole line as what `{{json .}}` prints, nothing as nil."""
    if isinstance(value, NoValue):
        return None
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
