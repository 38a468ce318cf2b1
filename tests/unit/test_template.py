"""Go templates: every expected text here was printed by Docker's client 28.2.2."""

from __future__ import annotations

import random

import pytest

from minidock.cli.template import Fields, format_documents, format_rows
from minidock.cli.template_parse import TemplateError
from minidock.cli.template_run import Template

HEADERS = {"ID": "CONTAINER ID", "Names": "NAMES", "State": "STATE"}


def line(name: str, state: str, labels: dict[str, str]) -> Fields:
    return Fields(
        "*formatter.ContainerContext",
        {
            "ID": "05729c0ae253" if name == "two" else "1cfb5a1d4c8d",
            "Names": name,
            "State": state,
            "Size": lambda: "0B (virtual 1.98MB)",
            "Platform": None,
            "Label": lambda key: labels.get(key, ""),
        },
    )


ROWS = [line("two", "created", {}), line("one", "running", {"a": "b"})]
DOCUMENT = {
    "Id": "1cfb5a1d4c8d14184706676409023cb78db532edf21c4046dde8253e0422b807",
    "Created": "2026-11-23T10:16:32.116004667Z",
    "State": {"Status": "running", "Running": True, "Pid": 3536, "ExitCode": 0},
    "Name": "/one",
    "ExecIDs": None,
    "HostConfig": {
        "LogConfig": {"Type": "json-file", "Config": {}},
        "PortBindings": {},
        "PidsLimit": None,
        "ConsoleSize": [0, 0],
    },
    "Mounts": [],
    "Config": {
        "Env": None,
        "Cmd": ["sleep", "1000"],
        "Entrypoint": None,
        "Volumes": None,
        "Labels": {"c": "d", "a": "b"},
        "Tty": False,
    },
    "NetworkSettings": {
        "Ports": {},
        "Networks": {"none": {"NetworkID": "145a", "IPAddress": ""}},
    },
}


def rows(form: str) -> str:
    return format_rows(form, ROWS, HEADERS)


def inspect(form: str) -> str:
    return format_documents(form, [DOCUMENT])


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("{{.ID}}", "05729c0ae253\n1cfb5a1d4c8d\n"),
        (r"{{.Names}}\t{{.State}}", "two\tcreated\none\trunning\n"),
        (r"a\nb\\c\"d\qe", "a\n" r"b\\c\"d\qe" "\na\n" r"b\\c\"d\qe" "\n"),
        (
            r"table {{.Names}}\t{{.State}}",
            "NAMES     STATE\ntwo       created\none       running\n",
        ),
        ("table {{.Names}} {{.State}}", "NAMES STATE\ntwo created\none running\n"),
        ("table {{json .Names}}", 'NAMES\n"two"\n"one"\n'),
        (r'table {{upper .Names}}\t{{.Label "a"}}', "NAMES     a\nTWO       \nONE       b\n"),
        (r'table {{.Label "com.x.my-label"}}', "my label\n\n\n"),
        ('table {{if eq .Names "one"}}x{{else}}y{{end}}', "y\ny\nx\n"),
        (
            "json",
            '{"ID":"05729c0ae253","Names":"two","Platform":null,'
            '"Size":"0B (virtual 1.98MB)","State":"created"}\n'
            '{"ID":"1cfb5a1d4c8d","Names":"one","Platform":null,'
            '"Size":"0B (virtual 1.98MB)","State":"running"}\n',
        ),
        ('{{.Label "a"}}', "\nb\n"),
        ("{{.Size}} {{.Platform}}", "0B (virtual 1.98MB) <nil>\n" * 2),
        ('{{if eq .State "running"}}run{{else if eq .State "x"}}x{{else}}no{{end}}', "no\nrun\n"),
        ('{{range $i, $e := split .Names "n"}}{{$i}}={{$e}};{{end}}', "0=two;\n0=o;1=e;\n"),
        ('{{index (split .Names "n") 0}}', "two\no\n"),
        ('{{if and (eq .Names "one") (ne .State "x")}}yes{{end}}', "\nyes\n"),
        ('{{ .Names }}{{ .ID | printf "%.3s" }}', "two057\none1cf\n"),
        ('{{split .Names "n"}} {{json (split .Names "n")}}', '[two] ["two"]\n[o e] ["o","e"]\n'),
        ("{{$x := .Names}}{{$x}}{{$x = \"b\"}}{{$x}}", "twob\noneb\n"),
    ],
)  # fmt: skip
def test_lists(form: str, text: str) -> None:
    assert rows(form) == text


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ('{{print 1 2 "a" "b" 3.5 true nil}}', "1 2ab3.5 true <nil>"),
        ('{{print "a" 1 2 "b"}}', "a1 2b"),
        ('{{println "a" "b" 1}}', "a b 1\n"),
        ("{{- 1 -}}   b  {{- 2}}", "1b2"),
        ("a {{- /* comment */}}{{/* another */ -}} b", "ab"),
        ('{{"a\\tb"}} {{`raw\\t`}} {{\'a\'}} {{0x10}} {{1e3}} {{1.50}} {{-3}}',
         "a\tb raw\\t 97 16 1000 1.5 -3"),
        (r'{{"quoted \"inner\" \u00e9 \x41"}}', 'quoted "inner" é A'),
        ("{{1e100}} {{1_000}} {{0b11}} {{0o17}} {{1.0}}", "1e+100 1000 3 15 1"),
        ("{{3 -}} x", "3x"),
        ("{{and 1 0}} {{or 0 \"\"}} {{not 1}} {{and true \"x\"}}", "0  false x"),
        ("{{eq 1 1 2}} {{ne 1 2}} {{lt 1 2}} {{le 2 2}} {{gt \"b\" \"a\"}} {{ge 1 2}}",
         "true true true true true false"),
        ("{{with $x := 5}}{{$x}}{{else}}n{{end}} {{with \"\"}}a{{else with \"x\"}}b{{.}}{{end}}",
         "5 bx"),
        ("{{$x := 1}}{{if true}}{{$x = 2}}{{$x}}{{$z := 3}}{{end}}{{$x}}", "22"),
        ("{{range 3}}{{.}}{{end}}", "012"),
        ('{{range split "a,b,c" ","}}{{if eq . "b"}}{{continue}}{{end}}{{.}}{{end}}', "ac"),
        ('{{range split "a,b,c" ","}}{{if eq . "b"}}{{break}}{{end}}{{.}}{{end}}', "a"),
        ('{{range split "" ""}}a{{else}}empty{{end}}', "empty"),
        ('{{index "abc" 1}} {{len "é"}} {{slice "abc" 1 2}}', "98 2 b"),
        ('{{true | not}} {{"x" | printf "%s" | len}}', "false 1"),
        ('{{title "hello world-foo o\'neil"}} {{lower "ABC"}}', "Hello World-Foo O'Neil abc"),
        ('{{truncate "two" 1}} {{truncate "" 3}} {{truncate "two" 100}}', "t  two"),
        ('{{pad "x" 1 2}}|{{pad "" 1 2}}|{{join (split "a.b" ".") "/"}}', " x  ||a/b"),
        ('{{json "<a>&"}} {{json 1}} {{json nil}}', '"<a>&" 1 null'),
    ],
)  # fmt: skip
def test_the_language(form: str, text: str) -> None:
    assert Template(form).execute(None) == text


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ('"%5s|%-8s|%05d|%v|%t|%x|%.2f|%%" "two" "two" 7 "up" true 255 1.239',
         "  two|two     |00007|up|true|ff|1.24|%"),
        ('"%d" "x"', "%!d(string=x)"),
        ('"%s"', "%!s(MISSING)"),
        ('"%s-%q" "a"', "a-%!q(MISSING)"),
        ('"%s" "a" "b"', "a%!(EXTRA string=b)"),
        ('"%T %q %6.2f %c %U" 1 "a\\"b" 3.14159 65 65', 'int "a\\"b"   3.14 A U+0041'),
        ('"%e %#v %+d %*d" 1.5 "x" 3 5 3', '1.500000e+00 "x" +3     3'),
        ('"%s %v" (split "a.b" ".") (split "a.b" ".")', "[a b] [a b]"),
    ],
)  # fmt: skip
def test_printf(form: str, text: str) -> None:
    assert Template("{{printf " + form + "}}").execute(None) == text


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("{{.Names", "unclosed action"),
        ("{{.Names}", "bad character U+007D '}'"),
        ("{{if .Names}}", "unexpected EOF"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{else}}", "unexpected {{else}}"),
        ("{{foo .Names}}", 'function "foo" not defined'),
        ("{{.Names | foo}}", 'function "foo" not defined'),
        ("{{}}", "missing value for command"),
        ("{{if}}x{{end}}", "missing value for if"),
        ("{{range}}x{{end}}", "missing value for range"),
        ("{{break}}", "{{break}} outside {{range}}"),
        ("{{$y}}", 'undefined variable "$y"'),
        ('{{"unterminated}}', "unterminated quoted string"),
        ("{{ `a", "unterminated raw quoted string"),
        ("{{.Names..ID}}", "unexpected <.> in operand"),
        ("{{.Names)}}", "unexpected right paren"),
        ("{{(.Names}}", "unclosed left paren"),
        ("{{/* x}}", "unclosed comment"),
    ],
)
def test_what_cannot_be_read(form: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        rows(form)
    assert caught.value.message == f"template parsing error: template: :1: {message}"


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("{{.Foo}}", "2: at <.Foo>: can't evaluate field Foo in type *formatter.ContainerContext"),
        ("{{.Names.Foo}}", "8: at <.Names.Foo>: can't evaluate field Foo in type string"),
        ("{{range .Names}}{{end}}", "8: at <.Names>: range can't iterate over two"),
        (
            '{{index (split .Names "n") 9}}',
            '2: at <index (split .Names "n") 9>: error calling index: index out of range: 9',
        ),
        ('{{eq 1 "a"}}', '2: at <eq 1 "a">: error calling eq: incompatible types for comparison'),
        ("{{eq .Names}}", "2: at <eq .Names>: error calling eq: missing argument for comparison"),
        ("{{lt 1}}", "2: at <lt>: wrong number of args for lt: want 2 got 1"),
        ("{{and}}", "2: at <and>: wrong number of args for and: want at least 1 got 0"),
        ("{{upper}}", "2: at <upper>: wrong number of args for upper: want 1 got 0"),
        ("{{json .Names .ID}}", "2: at <json>: wrong number of args for json: want 1 got 2"),
        ("{{upper 3}}", "8: at <3>: expected string; found 3"),
        ("{{len 3}}", "2: at <len 3>: error calling len: len of type int"),
        ("{{nil}}", "2: at <nil>: nil is not a command"),
        ('{{"a" "b"}}', '2: at <"a">: can\'t give argument to non-function "a"'),
        ("{{.Label}}", "2: at <.Label>: wrong number of args for Label: want 1 got 0"),
        ('{{.Names "x"}}', "2: at <.Names>: wrong number of args for Names: want 0 got 1"),
        ("{{1 | .Names}}", "6: at <.Names>: wrong number of args for Names: want 0 got 1"),
    ],
)
def test_what_cannot_be_executed(form: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        rows(form)
    text = message.replace(" at ", ' executing "" at ', 1)
    assert caught.value.message == f"template parsing error: template: :1:{text}"


def test_ps_has_words_of_its_own() -> None:
    words = {"parse_words": "failed to parse template: ", "run_words": "failed to execute: "}
    with pytest.raises(TemplateError, match="failed to parse template: template: :1: bad"):
        format_rows("{{.}", ROWS, HEADERS, **words)
    with pytest.raises(TemplateError, match="failed to execute: template: :1:2"):
        format_rows("{{.Foo}}", ROWS, HEADERS, **words)


def test_lines_are_counted() -> None:
    with pytest.raises(TemplateError, match="template: :2:5: "):
        rows(r"é\nab {{.Foo}}")


def test_a_table_does_nothing_to_the_terminal() -> None:
    strange = [Fields("x", {"Names": "\x1b[2Jx"})]
    assert format_rows("table {{.Names}}", strange, HEADERS) == "NAMES\n\\x1b[2Jx\n"
    assert format_rows("{{.Names}}", strange, HEADERS) == "\x1b[2Jx\n"  # scripts get what is there


def test_a_column_nobody_wants_is_never_computed() -> None:
    def size() -> str:
        raise AssertionError("asked for")

    assert format_rows("{{.ID}}", [Fields("x", {"ID": "1", "Size": size})], {}) == "1\n"


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (r"{{.Id}}\t{{.Name}}", DOCUMENT["Id"] + r"\t/one"),  # type: ignore[operator]
        ("{{.State}}", "{running true 3536 0}"),
        ("{{json .State}}", '{"Status":"running","Running":true,"Pid":3536,"ExitCode":0}'),
        ("{{.Config.Labels}}", "map[a:b c:d]"),
        ("{{.Config.Labels.a}}", "b"),
        ("{{.Config.Labels.nope}}", "<no value>"),
        ('{{index .Config.Labels "nope"}}', ""),
        ("{{.Config.Cmd}}", "[sleep 1000]"),
        ("{{.Config.Entrypoint}} {{.Config.Env}} {{.ExecIDs}}", "[] [] []"),
        ("{{json .Config.Entrypoint}}", "null"),
        ("{{.Config.Volumes}} {{.HostConfig.PortBindings}}", "map[] map[]"),
        ("{{range .Config.Env}}{{println .}}{{end}}", ""),
        ("{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}", "a=b;c=d;"),
        ("{{range $k, $v := .State}}{{$k}} {{end}}", "ExitCode Pid Running Status "),
        ("{{.HostConfig.LogConfig}}", "{json-file map[]}"),
        ("{{.NetworkSettings.Networks.none.IPAddress}}", ""),
        ("{{range .NetworkSettings.Networks}}[{{.IPAddress}}]{{end}}", "[]"),
        ('{{(index .NetworkSettings.Networks "none").NetworkID}}', "145a"),
        ("{{.State.Health}} {{if .State.Health}}y{{else}}n{{end}}", "<nil> n"),
        ("{{.SizeRw}} {{.HostConfig.PidsLimit}}", "<nil> <nil>"),
        ("{{index .Config.Cmd 0}} {{len .Config.Labels}}", "sleep 2"),
        ("{{eq .State.ExitCode 0}} {{gt .State.Pid 5}}", "true true"),
        ("{{with .State}}{{.Status}} {{$.Name}}{{end}}", "running /one"),
        ("{{.State.Running | json}} {{not .State.Running}}", "true false"),
        ('{{join .Config.Cmd " "}}|{{join .Config.Env ","}}', "sleep 1000|"),
        ("{{range .Mounts}}x{{else}}none{{end}}", "none"),
        ("{{.HostConfig.ConsoleSize}}", "[0 0]"),
        ("table {{.Name}}", "table /one"),
    ],
)
def test_documents(form: str, text: str) -> None:
    assert inspect(form) == text + "\n"


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("{{.Foo}}", '2: at <.Foo>: map has no entry for key "Foo"'),
        ("{{.State.Foo}}", '8: at <.State.Foo>: map has no entry for key "Foo"'),
        ("{{.Foo.Bar}}", '6: at <.Foo.Bar>: map has no entry for key "Foo"'),
        (
            "{{.State.Health.Status}}",
            '8: at <.State.Health.Status>: map has no entry for key "Health"',
        ),
        (
            "{{.Created.Foo}}",
            "10: at <.Created.Foo>: can't evaluate field Foo in type interface {}",
        ),
        ("{{if .Foo}}x{{end}}", '5: at <.Foo>: map has no entry for key "Foo"'),
        (
            "{{index .Config.Cmd 5}}",
            "2: at <index .Config.Cmd 5>: error calling index: index out of range: 5",
        ),
        (
            '{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}',
            '3: at <index (index .NetworkSettings.Ports "80/tcp") 0>: '
            "error calling index: index of untyped nil",
        ),
    ],
)
def test_what_a_document_does_not_have(form: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        inspect(form)
    text = message.replace(" at ", ' executing "" at ', 1)
    assert caught.value.message == f"template parsing error: template: :1:{text}"


def test_documents_as_json_are_one_array() -> None:
    assert format_documents("json", [{"A": None}, {"B": {"x": [1]}}]) == (
        '[{"A":null},{"B":{"x":[1]}}]\n'
    )


@pytest.mark.parametrize(
    "form",
    [
        "{{" + "(" * 5000 + "1" + ")" * 5000 + "}}",
        "{{if 1}}" * 5000 + "{{end}}" * 5000,
        "{{if 1}}" + "{{else if 1}}" * 5000 + "{{end}}",
        "{{'}}",
        '{{"\\',
        "{{\x00}}",
        "{{.\udcff}}",
        "{{-}}",
        "{{1.2.3}}",
        "{{$}}{{$.}}",
        "{{1e999}}",
        "{{:}}",
        "{{$x, $y := 1}}",
        "{{range $x, $y, $z := 1}}{{end}}",
        "{{if 1}}{{else}}{{else}}{{end}}",
        "{{1 | 2}}",
    ],
)
def test_hostile_templates_are_errors(form: str) -> None:
    with pytest.raises(TemplateError):
        rows(form)


def test_a_width_has_a_bound() -> None:
    assert len(Template('{{printf "%999999999d" 1}}').execute(None)) <= 10_000


@pytest.mark.parametrize(
    ("form", "text"),
    [
        # A name of Docker's type: structs, and null pointers.
        ("{{.ID}} {{.State}}", f"{DOCUMENT['Id']} {{running true 3536 0}}"),
        ("{{.State.Health}} {{.HostConfig.PidsLimit}}", "<nil> <nil>"),
        ("{{json .Config.Volumes}} {{index .Config.Volumes `x`}}", "null {}"),
        ("{{index .NetworkSettings.Ports `80/tcp`}}", "<no value>"),
        ("{{.NetworkSettings.Networks.x.IPAddress}}", "<no value>"),
        # A name of the JSON: maps, and nothing.
        (
            "{{.Id}} {{.State}}",
            f"{DOCUMENT['Id']} map[ExitCode:0 Pid:3536 Running:true Status:running]",
        ),
        ("{{.Id}} {{.HostConfig.PidsLimit}}", f"{DOCUMENT['Id']} <no value>"),
        ("{{.Id}} {{json .Config.Labels}}", DOCUMENT["Id"] + ' {"a":"b","c":"d"}'),  # type: ignore[operator]
        ("{{.Id}} {{range .Config.Env}}x{{else}}none{{end}}", f"{DOCUMENT['Id']} none"),
    ],
)
def test_a_document_is_typed_first_and_then_maps(form: str, text: str) -> None:
    assert inspect(form) == text + "\n"


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("{{.State.Health.Status}}",
         '8: at <.State.Health.Status>: map has no entry for key "Health"'),
        ("{{(.State).Foo}}", '3: at <.State>: map has no entry for key "Foo"'),
        ("{{.Name 3}}", "2: at <.Name>: Name is not a method but has arguments"),
        ("{{.Config.Env.X}}", "9: at <.Config.Env.X>: nil pointer evaluating interface {}.X"),
        ("{{.Id}}{{.Config.Labels.x}}", '16: at <.Config.Labels.x>: map has no entry for key "x"'),
        (
            "{{.Id}}{{(index .NetworkSettings.Networks `x`).y}}",
            '42: at <`x`>: nil data; no entry for key "y"',
        ),
        ("{{eq .State.Status 3}}", "2: at <eq .State.Status 3>: error calling eq: "
         "incompatible types for comparison"),
        ('{{(1).Foo}}', "3: at <1>: can't evaluate field Foo in type int"),
    ],
)  # fmt: skip
def test_a_document_says_where_it_went_wrong(form: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        inspect(form)
    text = message.replace(" at ", ' executing "" at ', 1)
    assert caught.value.message == f"template parsing error: template: :1:{text}"


def test_bytes_are_counted() -> None:
    assert Template('{{truncate "日本" 3}}{{slice "日本" 3 6}}').execute(None) == "日本"
    with pytest.raises(TemplateError, match=r"slice bounds out of range \[:-1\]"):
        Template('{{truncate "abc" -1}}').execute(None)


PIECES = (
    "{{ }} {{- -}} ( ) | , := = . .. $ $x .Name .State.Pid .Args index len eq lt and printf "
    "json pad split join range if else end with break nil true 3 -1 1.5 99999999999999999999 "
    "09 'a' `b` \"c "
    '"%d%s" /* */ upper . é \\'
).split()


def test_nonsense_is_an_error_and_nothing_else() -> None:
    chance = random.Random(1)
    refused = 0
    for _ in range(3000):
        inside = " ".join(chance.choices(PIECES, k=chance.randrange(1, 8)))
        for form in ("{{" + inside + "}}", inside):
            try:
                inspect(form)
            except TemplateError:
                refused += 1
    assert refused > 1000


@pytest.mark.parametrize("form", ["{{" + "9" * 5000 + "}}", "{{pad `x` 99999999999999 1}}"])
def test_too_much(form: str) -> None:
    with pytest.raises(TemplateError):
        inspect(form)
