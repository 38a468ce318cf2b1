"""Go's template language, read: text with `{{actions}}` → a tree that `template_run.py` walks.

    {{.Name}}  {{json .State}}  {{.ID | printf "%.3s"}}  {{(index .Ports "80/tcp")}}
    {{if …}} {{else if …}} {{else}} {{end}}   {{range $i, $e := …}}   {{with …}}
    {{$x := …}}  {{$x = …}}   {{/* comment */}}   {{- trims the space before, after -}}

An action is a pipeline of commands; a command is a function or a method with its operands, all
separated by spaces. Messages of errors are Go's, because scripts and people know them. Not taken:
`define`, `template` and `block`, for which a one-line format has no use.

See: https://pkg.go.dev/text/template, Go's text/template/parse/parse.go.
"""

from __future__ import annotations

from minidock.cli.template_tokens import TemplateError as TemplateError
from minidock.cli.template_tokens import Token, parse_error, tokens
from minidock.record import Record
from minidock.spec.quoting import quote

_MAX_DEPTH = 100  # parentheses and branches in each other
_NOT_TAKEN = ("define", "template", "block")


class Node(Record):
    """`pos` counts characters from the start of the template."""

    pos: int

    def __str__(self) -> str:
        raise NotImplementedError


class Text(Node):
    text: str


class Literal(Node):
    """A string, a number, a bool, or nil."""

    value: object
    text: str

    def __str__(self) -> str:
        return self.text


class Dot(Node):
    def __str__(self) -> str:
        return "."


class Field(Node):
    """`.A.B`"""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return "".join(f".{name}" for name in self.names)


class Variable(Node):
    """`$x.A.B`; the variable `$` is the data that the template was given."""

    name: str
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ".".join((self.name, *self.names))


class Identifier(Node):
    """The name of a function."""

    name: str

    def __str__(self) -> str:
        return self.name


class Chain(Node):
    """`(pipeline).A.B`"""

    node: Node
    names: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join((f"({self.node})", *self.names))


class Call(Node):
    """What stands between two pipes: an operand, or a function with its operands."""

    args: tuple[Node, ...]

    def __str__(self) -> str:
        return " ".join(f"({a})" if isinstance(a, Pipe) else str(a) for a in self.args)


class Pipe(Node):
    """Calls, each getting the value of the one before as its last argument."""

    calls: tuple[Call, ...]
    variables: tuple[str, ...] = ()
    assigns: bool = False  # `=` to variables that exist, not `:=`

    def __str__(self) -> str:
        start = ", ".join(self.variables)
        if start:
            start += " = " if self.assigns else " := "
        return start + " | ".join(str(call) for call in self.calls)


class Action(Node):
    pipe: Pipe


class Branch(Node):
    """`kind` is if, with or range."""

    kind: str
    pipe: Pipe
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...] = ()


class Leave(Node):
    """`kind` is break or continue."""

    kind: str


class Parser:
    """Tokens → nodes, by recursive descent."""

    def __init__(self, source: str, functions: object) -> None:
        """`functions` answers `name in functions`."""
        self.source = source
        self.functions = functions
        self.tokens = tokens(source)
        self.at = 0
        self.variables = ["$"]
        self.ranges = 0
        self.depth = 0

    def peek(self) -> Token:
        """The next token, spaces included."""
        return self.tokens[self.at]

    def next(self, *, skip_space: bool = True) -> Token:
        """Take a token."""
        if skip_space:
            self.skip_space()
        token = self.tokens[self.at]
        self.at += token.kind != "eof"
        return token

    def skip_space(self) -> Token:
        """The next token that is no space, not taken."""
        while self.tokens[self.at].kind == "space":
            self.at += 1
        return self.tokens[self.at]

    def error(self, message: str, token: Token | None = None) -> TemplateError:
        """An error at `token`, or at the next one."""
        return parse_error(self.source, (token or self.peek()).pos, message)

    def unexpected(self, token: Token, where: str) -> TemplateError:
        """`unexpected <.> in operand`"""
        named = quote(token.text[:10]) + ("..." if len(token.text) > 10 else "")
        if token.kind in ("keyword", ".", "eof"):
            named = "EOF" if token.kind == "eof" else f"<{token.text}>"
        return self.error(f"unexpected {named} in {where}", token)

    def parse(self) -> tuple[Node, ...]:
        """The whole template."""
        nodes, end = self.items()
        if end.kind != "eof":
            raise self.error(f"unexpected {{{{{end.text}}}}}", end)
        return nodes

    def items(self) -> tuple[tuple[Node, ...], Token]:
        """Nodes up to `else`, `end` or the end of the text, and that token."""
        nodes: list[Node] = []
        while True:
            token = self.next(skip_space=False)
            if token.kind == "eof":
                return tuple(nodes), token
            if token.kind == "text":
                nodes.append(Text(token.pos, token.text))
                continue
            word = self.skip_space()
            if word.kind == "keyword" and word.text in ("else", "end"):
                return tuple(nodes), self.next()
            nodes.append(self.action(word))

    def action(self, word: Token) -> Node:
        """What `{{` begins."""
        if word.kind == "keyword" and word.text in ("if", "with", "range"):
            return self.branch(self.next())
        if word.kind == "keyword" and word.text in ("break", "continue"):
            self.next()
            if self.skip_space().kind != "}}":
                raise self.unexpected(self.peek(), f"{{{{{word.text}}}}}")
            self.next()
            if not self.ranges:
                raise self.error(f"{{{{{word.text}}}}} outside {{{{range}}}}", word)
            return Leave(word.pos, word.text)
        if word.text in _NOT_TAKEN and word.kind == "identifier":
            raise self.error(f"{{{{{word.text}}}}} is not supported", word)
        return Action(word.pos, self.pipeline("command", "}}"))

    def branch(self, word: Token) -> Branch:
        """`if`, `with` or `range`, with all its `else`s, up to its `end`."""
        self.deeper(word)
        known = len(self.variables)
        kind = word.text
        pipe = self.pipeline(kind, "}}")
        self.ranges += kind == "range"
        body, end = self.items()
        self.ranges -= kind == "range"
        otherwise: tuple[Node, ...] = ()
        if end.text == "else" and end.kind == "keyword":
            again = self.skip_space()
            if kind in ("if", "with") and again.kind == "keyword" and again.text == kind:
                otherwise = (self.branch(self.next()),)  # takes the one `end` for both
                return self.leave(known, Branch(word.pos, kind, pipe, body, otherwise))
            self.close("else")
            otherwise, end = self.items()
        if end.kind == "eof":
            raise self.error("unexpected EOF", end)
        if end.text != "end":
            raise self.error(f"expected end; found {{{{{end.text}}}}}", end)
        self.close("end")
        return self.leave(known, Branch(word.pos, kind, pipe, body, otherwise))

    def leave(self, known: int, branch: Branch) -> Branch:
        """Forget what was declared in a branch."""
        del self.variables[known:]
        self.depth -= 1
        return branch

    def deeper(self, token: Token) -> None:
        """Count nesting: Python's own stack is no place to find out that it is too deep."""
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self.error("max expression depth exceeded", token)

    def close(self, where: str) -> None:
        """Take `}}`."""
        token = self.next()
        if token.kind != "}}":
            raise self.unexpected(token, where)

    def pipeline(self, where: str, end: str) -> Pipe:
        """Calls up to `end`, which is taken too."""
        pos = self.skip_space().pos
        variables, assigns = self.declarations(where)
        calls: list[Call] = []
        while True:
            token = self.skip_space()
            if token.kind == end and calls:
                break
            if token.kind == end:
                raise self.error(f"missing value for {where}", token)
            calls.append(self.call())
            token = self.next()
            if token.kind == end:
                self.at -= 1
                break
            if token.kind != "|":
                raise self.unexpected(token, where)
            if self.skip_space().kind == end:
                raise self.error(f"missing value for {where}")
        self.next()
        for call in calls[1:]:
            if isinstance(call.args[0], (Literal, Dot)):
                number = calls.index(call) + 1
                raise self.error(f"non executable command in pipeline stage {number}")
        self.variables += () if assigns else variables
        return Pipe(pos, tuple(calls), variables, assigns)

    def declarations(self, where: str) -> tuple[tuple[str, ...], bool]:
        """`$x :=`, `$x =`, or `$i, $e :=` of a range; nothing if a variable is only used."""
        start = self.at
        names: list[str] = []
        while self.skip_space().kind == "variable":
            names.append(self.next().text)
            token = self.skip_space()
            if token.kind in (":=", "="):
                self.next()
                if token.kind == "=":
                    for name in names:
                        self.known(name, token)
                return tuple(names), token.kind == "="
            if token.kind != ",":
                break
            if where != "range" or len(names) > 1:
                raise self.error(f"too many declarations in {where}", token)
            self.next()
        self.at = start
        return (), False

    def known(self, name: str, token: Token) -> None:
        """Refuse a variable that nobody declared."""
        if name not in self.variables:
            raise self.error(f'undefined variable "{name}"', token)

    def call(self) -> Call:
        """Operands up to a pipe, a parenthesis or the end."""
        pos = self.skip_space().pos
        args: list[Node] = []
        while self.skip_space().kind not in ("}}", ")", "|"):
            args.append(self.operand())
            following = self.peek()
            if following.kind not in ("space", "}}", ")", "|"):
                raise self.unexpected(following, "operand")
        if not args and self.peek().kind == "|":
            raise self.unexpected(self.peek(), "command")
        if not args:
            raise self.error("empty command")
        return Call(pos, tuple(args))

    def operand(self) -> Node:
        """A term, and the fields that follow it without a space."""
        node = self.term()
        if self.peek().kind != "field":
            return node
        pos = self.peek().pos
        names: list[str] = []
        while self.peek().kind == "field":
            names.append(str(self.next().value))
        if isinstance(node, Field):
            return Field(pos, (*node.names, *names))
        if isinstance(node, Variable):
            return Variable(pos, node.name, tuple(names))
        if isinstance(node, (Literal, Dot)):
            raise self.error(f"unexpected . after term {quote(str(node))}")
        return Chain(pos, node, tuple(names))

    def term(self) -> Node:
        """One thing."""
        token = self.next()
        pos, text = token.pos, token.text
        if token.kind == "identifier":
            if text not in self.functions:  # type: ignore[operator]
                raise self.error(f'function "{text}" not defined', token)
            return Identifier(pos, text)
        if token.kind == ".":
            return Dot(pos)
        if token.kind == "field":
            return Field(pos, (str(token.value),))
        if token.kind == "variable":
            self.known(text, token)
            return Variable(pos, text)
        if token.kind in ("number", "string"):
            return Literal(pos, token.value, text)
        if token.kind == "keyword" and text in ("true", "false", "nil"):
            return Literal(pos, {"true": True, "false": False, "nil": None}[text], text)
        if token.kind == "(":
            self.deeper(token)
            pipe = self.pipeline("parenthesized pipeline", ")")
            self.depth -= 1
            return pipe
        raise self.unexpected(token, "command")
