"""Display filters on the command line: -Y, what an error says, and `pysniff filter`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pysniff.cli import group
from pysniff.cli.filter import tables
from pysniff.kfl.variables import schema

ROOT = Path(__file__).parent.parent
SHOP = str(ROOT / "examples" / "shop.pcap")


def pysniff(*arguments: str) -> Result:
    return CliRunner().invoke(group, arguments)


def shown(*arguments: str) -> list[dict[str, Any]]:
    result = pysniff("-r", SHOP, "--json", *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return [json.loads(line) for line in result.stdout.splitlines()]


# -Y


def test_what_matches_is_shown() -> None:
    assert [entry["summary"] for entry in shown("-Y", "http1 && status_code >= 400")] == [
        "GET /missing.css",
        "POST /pay",
        "GET /stock",
    ]
    assert len(shown("--filter", "")) == len(shown()) == 32
    assert shown("-Y", "false") == []


def test_a_count_counts_what_is_shown() -> None:
    assert [entry["status"] for entry in shown("-Y", "status_code >= 400", "-c", "2")] == ["404", "500"]


def test_the_capture_filter_chooses_packets_and_the_display_filter_entries() -> None:
    assert {entry["protocol"] for entry in shown("-f", "port 53 or port 80", "-Y", "elapsed_time > 0")} == {
        "dns",
        "http",
    }
    assert {entry["protocol"] for entry in shown("-f", "port 53 or port 80", "-Y", "dns")} == {"dns"}


def test_what_was_kept_back_is_in_the_ledger() -> None:
    result = pysniff("-r", SHOP, "-Y", "redis", "-v")
    assert "\nfilter    28 entries did not match\n" in result.stderr
    assert "filter  " not in pysniff("-r", SHOP, "-v").stderr


def test_a_filter_that_fails_is_told_once_and_counted() -> None:
    result = pysniff("-r", SHOP, "-Y", '!http || request.headers["x-none"] == "1"')
    assert result.stderr == "pysniff: the filter failed on 18 entries, which do not match: no key 'x-none'\n"
    assert len(result.stdout.splitlines()) == 14
    assert result.exit_code == 0
    told = pysniff("-r", SHOP, "-v", "-Y", 'path == "/pay" && 1 / (status_code - 500) == 0').stderr
    assert "filter    32 entries did not match, 1 of them because the filter failed on them" in told
    assert told.endswith("failed on 1 entry, which does not match: division by zero\n")
    assert pysniff("-r", SHOP, "-q", "-Y", "1 / (status_code - 500) == 0").output == ""


# Errors


def test_an_error_points_at_the_place() -> None:
    result = pysniff("-r", SHOP, "-Y", "http && status_cod >= 500")
    assert result.stderr.splitlines() == [
        "pysniff: filter, line 1, column 9: unknown variable `status_cod` (did you mean status_code?)",
        "  http && status_cod >= 500",
        "          ^",
    ]
    assert (result.stdout, result.exit_code) == ("", 4)


def test_an_error_on_a_later_line_shows_that_line() -> None:
    result = pysniff("-r", SHOP, "-Y", "http &&\n  methd == 'GET'")
    assert result.stderr.splitlines()[0].startswith("pysniff: filter, line 2, column 3: ")
    assert result.stderr.splitlines()[1:] == ["    methd == 'GET'", "    ^"]


def test_an_error_cannot_move_the_cursor() -> None:
    result = pysniff("-r", SHOP, "-Y", "path == '\x1b[2J' && x")
    assert "\x1b" not in result.stderr
    assert result.exit_code == 4


def test_a_wrong_filter_is_told_before_a_wrong_file() -> None:
    assert pysniff("-r", "/nowhere.pcap", "-Y", "http &&").exit_code == 4
    assert pysniff("-r", "/nowhere.pcap", "-Y", "http").exit_code == 3


def hint(*arguments: str) -> str:
    result = pysniff("-r", SHOP, *arguments)
    assert (result.exit_code, result.stdout) == (4, "")
    found = re.search(r" \(([^\n]*)\)$", result.stderr.splitlines()[0])
    return found[1] if found else ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("http", "that is a display filter: -Y http"),
        ("status_code >= 500", "that is a display filter: -Y 'status_code >= 500'"),
        (
            "tcp.port==80",
            "that is a display filter of Wireshark; here it is -Y '(src.port == 80 || dst.port == 80)'",
        ),
        (
            'http.request.method == "GET"',
            "that is a display filter of Wireshark; here it is -Y 'method == \"GET\"'",
        ),
        ("http.request.method == GET", "display filters go with -Y; http.request.method is method here"),
        ("filtr", "did you mean pysniff filter?"),
    ],
)
def test_a_display_filter_in_the_place_of_a_capture_filter(words: str, said: str) -> None:
    assert hint(*words.split()) == said if "'" not in words else hint("-f", words) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tcp port 80", "that is a capture filter: give it with -f, or without an option"),
        ("host 10.0.0.9", "that is a capture filter: give it with -f, or without an option"),
        ("ip.addr==10.0.0.9", 'here that is (src.ip == "10.0.0.9" || dst.ip == "10.0.0.9")'),
        ("ip.src == 10.0.0.9 and tcp.dstport eq 80", 'here that is src.ip == "10.0.0.9" && dst.port == 80'),
        ('http.host contains "shop" and http', 'here that is host.contains("shop") && http'),
        ('request.method == "GET"', 'here that is method == "GET"'),
        ("response.status >= 500", "here that is status_code >= 500"),
        ('http.host == "and" or dns', 'here that is host == "and" || dns'),
        ("http.request.method matches G", "http.request.method is method here"),
        ("statuscode == 2", "did you mean status_code?"),
    ],
)
def test_another_programs_filter_in_the_place_of_a_display_filter(text: str, said: str) -> None:
    assert hint("-Y", text) == said


# pysniff filter


def explained(text: str) -> dict[str, Any]:
    result = pysniff("filter", "--json", text)
    assert (result.exit_code, result.stderr) == (0, "")
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_filter_is_explained() -> None:
    result = pysniff("filter", "http && dst.port==8080&&status_code>=500")
    assert result.stdout.splitlines() == [
        "http && dst.port == 8080 && status_code >= 500",
        "  type        bool",
        "  variables   dst.port (int), http (bool), status_code (int)",
        "  index       http && dst.port == 8080",
        "  times       any",
        "  dissection  status_code",
    ]
    assert result.exit_code == 0


def test_a_filter_is_explained_to_programs() -> None:
    record = explained('timestamp >= timestamp("2026-11-21T20:00:00Z") && (dns || redis_key == "a")')
    assert [row["name"] for row in record.pop("variables")] == ["timestamp", "dns", "redis_key"]
    assert record == {
        "filter": 'timestamp >= timestamp("2026-11-21T20:00:00.000000000Z") && (dns || redis_key == "a")',
        "type": "bool",
        "index": {
            "variables": ["dns", "timestamp"],
            "condition": None,
            "start": "2026-11-21T20:00:00.000000000Z",
            "end": None,
        },
        "dissected": ["redis_key"],
    }


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("method == 'GET'", None),
        ("method == 'GET' || dns", None),
        ("(method == 'GET' || dns) && dst.port == 53", "dst.port == 53"),
        ("!(method == 'GET' || dns)", "!dns"),
        ("(dns || redis) && src.ip.startsWith('10.')", '(dns || redis) && src.ip.startsWith("10.")'),
        ("dns ? dst.port == 53 : path == '/'", "(dns && dst.port == 53) || !dns"),
        ("dns ? dst.port == 53 : true", "(dns && dst.port == 53) || !dns"),
        ("path == '/' ? dst.port == 53 : method == 'GET'", None),
        ("true", None),
    ],
)
def test_what_an_index_leaves_out(text: str, index: str | None) -> None:
    assert explained(text)["index"]["condition"] == index


def test_a_filter_that_nothing_can_match_is_told() -> None:
    result = pysniff("filter", f"timestamp < {AT} && timestamp > {AT}")
    assert "  times       no time: nothing can match\n" in result.stdout


AT = 'timestamp("2026-11-21T20:00:00Z")'


def test_an_empty_filter_matches_everything() -> None:
    assert pysniff("filter").stdout.startswith("An empty filter: every entry matches.")
    assert explained("")["variables"] == []


def test_a_wrong_filter_is_exit_4_for_people_and_programs() -> None:
    result = pysniff("filter", "http &&")
    assert result.exit_code == 4
    assert result.stderr.splitlines()[1:] == ["  http &&", "         ^"]
    result = pysniff("filter", "--json", "status_cod > 1")
    assert (result.exit_code, result.stderr) == (4, "")
    assert json.loads(result.stdout) == {
        "error": {
            "message": "filter, line 1, column 1: unknown variable `status_cod`",
            "hint": "did you mean status_code?",
            "line": 1,
            "column": 1,
        }
    }


def test_the_variables_are_listed_and_searched() -> None:
    listed = pysniff("filter", "--list").stdout
    for variable in schema():
        assert re.search(rf"^  {re.escape(variable.name)} +{re.escape(str(variable.type))} ", listed, re.MULTILINE)
    found = json.loads(pysniff("filter", "--list", "--json", "cookies").stdout)
    assert [row["name"] for row in found] == ["request.cookies", "response.cookies"]
    assert found[0] == {
        "name": "request.cookies",
        "type": "map(string, string)",
        "meaning": "those that the client sent",
        "section": "HTTP",
    }
    assert pysniff("filter", "--list", "grpc", "status").stdout.splitlines()[0] == "gRPC"
    assert pysniff("filter", "--list", "nothing-like-it").exit_code == 1
    assert pysniff("filter", "--markdown", "http").exit_code == 1


# The page

PAGE = (ROOT / "docs" / "filter.md").read_text()


def test_the_pages_tables_are_the_schemas() -> None:
    assert PAGE.endswith("\n".join(tables(schema())) + "\n"), "run: python -m pysniff filter --list --markdown"


def test_the_pages_examples_compile() -> None:
    table = PAGE.partition("## By example")[2].partition("## Types")[0]
    examples = [row.replace("\\|", "|") for row in re.findall(r"^\| `(.*)` \| ", table, re.MULTILINE)]
    assert len(examples) > 15
    for text in examples:
        assert pysniff("filter", text).exit_code == 0, text
    for text in re.findall(r"""(?:-Y|filter=|pysniff filter) ?'([^']+)'""", PAGE):
        assert pysniff("filter", text).exit_code == 0, text


def test_the_pages_error_is_the_error() -> None:
    shown = pysniff("-r", SHOP, "-Y", "http && status_cod >= 500").stderr
    assert "".join(f"    {line}\n" for line in shown.splitlines()) in PAGE
