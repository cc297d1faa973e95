"""HAR 1.2 as a JSON Schema, after http://www.softwareishard.com/blog/har-12-spec/.

Fields that HAR does not name must begin with an underscore, as it says of custom fields.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
DATE: Schema = {
    "type": "string",
    "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$",
}
SIZE: Schema = {"type": "integer", "minimum": -1}
SPAN: Schema = {"type": "number", "minimum": 0}
SPAN_OR_NONE: Schema = {"anyOf": [SPAN, {"const": -1}]}
FLAG: Schema = {"type": "boolean"}


def record(required: Schema, **optional: Schema) -> Schema:
    return {
        "type": "object",
        "required": [*required],
        "properties": {**required, **optional, "comment": TEXT},
        "patternProperties": {"^_": {}},
        "additionalProperties": False,
    }


def many(items: Schema) -> Schema:
    return {"type": "array", "items": items}


PAIR = record({"name": TEXT, "value": TEXT})
COOKIE = record({"name": TEXT, "value": TEXT}, path=TEXT, domain=TEXT, expires=DATE, httpOnly=FLAG, secure=FLAG,
                sameSite=TEXT)  # fmt: skip
PARAMETER = record({"name": TEXT}, value=TEXT, fileName=TEXT, contentType=TEXT)
HEAD: Schema = {"httpVersion": TEXT, "cookies": many(COOKIE), "headers": many(PAIR), "headersSize": SIZE,
                "bodySize": SIZE}  # fmt: skip
REQUEST = record(
    {**HEAD, "method": TEXT, "url": {"type": "string", "pattern": "^https?://[!-~]+$"}, "queryString": many(PAIR)},
    postData=record({"mimeType": TEXT}, text=TEXT, params=many(PARAMETER)),
)
CONTENT = record({"size": {"type": "integer", "minimum": 0}, "mimeType": TEXT}, compression={"type": "integer"},
                 text=TEXT, encoding=TEXT)  # fmt: skip
STATUS: Schema = {"type": "integer", "minimum": 0}
RESPONSE = record({**HEAD, "status": STATUS, "statusText": TEXT, "content": CONTENT, "redirectURL": TEXT})
TIMINGS = record(
    {"send": SPAN, "wait": SPAN, "receive": SPAN},
    blocked=SPAN_OR_NONE, dns=SPAN_OR_NONE, connect=SPAN_OR_NONE, ssl=SPAN_OR_NONE,
)  # fmt: skip
ENTRY = record(
    {
        "startedDateTime": DATE, "time": SPAN, "request": REQUEST, "response": RESPONSE, "cache": record({}),
        "timings": TIMINGS,
    },
    pageref=TEXT, serverIPAddress=TEXT, connection=TEXT,
)  # fmt: skip
PROGRAM = record({"name": TEXT, "version": TEXT})
LOG = record({"version": {"const": "1.2"}, "creator": PROGRAM, "entries": many(ENTRY)}, browser=PROGRAM,
             pages={"type": "array", "maxItems": 0})  # fmt: skip
HAR: Schema = {"type": "object", "required": ["log"], "properties": {"log": LOG}, "additionalProperties": False}
