"""Bytes of an answer in, a checked XML document out: rows and nothing else. Pure, no I/O.

Every body is treated as hostile.
"""

from __future__ import annotations

import codecs
import html
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from html.entities import html5
from xml.parsers import expat

from tap_litmos.errors import BadBodyError, HostileBodyError

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

WHITE = " \t\r\n"
"""What XML takes for white space."""

_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# The first three skip what may hold an ampersand that is text. Where their end is missing they
# skip all that follows: else it would be searched again from each further beginning.
_AMPERSAND = re.compile(
    r"<!\[CDATA\[.*?(?:\]\]>|\Z)|<!--.*?(?:-->|\Z)|<\?.*?(?:\?>|\Z)"
    r"|&(?:#(?P<hex>[xX][0-9a-fA-F]+);|#(?P<decimal>[0-9]+);|(?P<name>[a-zA-Z0-9]+);)?",
    re.DOTALL,
)
_OF_XML = {"amp", "lt", "gt", "quot", "apos"}
_DECLARATION = re.compile(
    r"""\A(\ufeff|\xef\xbb\xbf)?(<\?xml\s[^>]{0,100}?)\s+encoding\s*=\s*["']([\w.:-]+)["']"""
)
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
"""How a body begins that shows its encoding."""

_OF_PYTHON = {"idna", "punycode", "unicode-escape", "raw-unicode-escape"}
"""Codecs that are no charsets of the web; with punycode, a body could take hours."""

_MOST_ROWS = 100_000
"""Rows of a page, of which 1,000 at most were asked for: more would fill memory."""

_BAD_BYTE = "undecodable byte"
_BAD_CHARACTER = "forbidden character"


@dataclass(slots=True)
class Body:
    """A page whose shape was checked, still as bytes.

    Attributes:
        content: The XML document.
        rows: How many rows it has, also those without a key.
        repairs: What was repaired, and how often: forbidden characters and undecodable bytes
            (replaced), stray ampersands and HTML entities (escaped).
        encoding: The encoding in which it came.
    """

    content: bytes
    rows: int = 0
    repairs: Counter[str] = field(default_factory=Counter)
    encoding: str = "utf-8"


def clean_body(content: bytes, nesting: tuple[str, ...], charset: str | None = None) -> Body:
    """Return a body in UTF-8, repaired where possible, that holds rows and nothing else.

    Of a well-formed document, only the encoding is changed. In any other, references to control
    characters such as `&#x1F;`, which .NET writes (inferred) and XML 1.0 forbids, become
    U+FFFD; an ampersand that starts no entity is escaped; an entity of HTML becomes its
    character.

    Args:
        content: The body of the response.
        nesting: The element names from the expected root down to the row. Empty: they are not
            known, and any XML will do.
        charset: The encoding that the Content-Type header names, for a body that declares none.

    Raises:
        BadBodyError: If it is cut short, not XML, or holds anything but rows.
        HostileBodyError: If it declares a document type, or has more than 100,000 rows. The
            document type of HTML is a `BadBodyError`: an error page, which may pass.
    """
    body = _decode(content, charset)
    try:
        _parse(body.content)
    except expat.ExpatError:
        _repair(body)
        try:
            _parse(body.content)
        except expat.ExpatError as error:
            where = f"line {error.lineno}, column {error.offset}"
            what = expat.ErrorString(error.code)
            raise BadBodyError(f"the response is not XML ({what}: {where})") from None
    if not nesting:
        return body
    if _is_plain(body.content, nesting):
        body.rows = body.content.count(f"</{nesting[-1]}>".encode())
    else:
        body.rows = _count_rows(body.content, nesting)
    if body.rows > _MOST_ROWS:
        raise HostileBodyError(f"the response has {body.rows:,} rows")
    return body


def _decode(content: bytes, charset: str | None) -> Body:
    """Return a body in UTF-8, whatever its encoding; UTF-8 is passed through unchanged."""
    encoding, declared = _encoding(content, charset)
    if encoding == "utf-8" and declared in {None, "utf-8"}:
        return Body(content)
    try:
        _refuse_codecs_of_python(encoding)
        text = content.decode(encoding, "replace")
        lost = _undecodable(content, encoding)
    except (LookupError, ValueError) as error:
        raise BadBodyError(f"the response's encoding cannot be read ({error})") from None
    text = _DECLARATION.sub(r"\1\2", text)
    utf8 = text.encode(errors="surrogatepass")
    return Body(utf8, repairs=+Counter({_BAD_BYTE: lost}), encoding=encoding)


def _encoding(content: bytes, charset: str | None) -> tuple[str, str | None]:
    """Return the encoding of a body, and the one that it declares."""
    declaration = _DECLARATION.match(content[:200].decode("latin-1"))
    declared = declaration[3].lower() if declaration else None
    shown = next((codec for mark, codec in _MARKS if content.startswith(mark)), None)
    encoding = (shown or declared or charset or "utf-8").lower()
    # Servers say ASCII and send UTF-8.
    return ("utf-8" if encoding in {"us-ascii", "ascii"} else encoding), declared


def _refuse_codecs_of_python(encoding: str) -> None:
    if codecs.lookup(encoding).name in _OF_PYTHON:
        raise LookupError(f"not a charset: {encoding}")


def _undecodable(content: bytes, encoding: str) -> int:
    """Return how many bytes of a text are not valid in its encoding."""
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return max(1, len(content) - len(content.decode(encoding, "ignore").encode(encoding)))
    return 0


def _parse(content: bytes) -> None:
    """Parse a document to its end.

    Raises:
        ExpatError: If it is not well-formed.
        BadBodyError: If it is HTML, or has a malformed encoding.
        HostileBodyError: If it declares another document type.
    """
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _refuse_document_type
    try:
        parser.Parse(content, True)  # noqa: FBT003
    except (LookupError, ValueError) as error:  # expat raises these for a malformed encoding
        raise BadBodyError(f"the response's encoding cannot be read ({error})") from None


def _refuse_document_type(name: str, *_: object) -> None:
    if name.lower() == "html":
        raise BadBodyError("the response is an HTML page")
    raise HostileBodyError(
        "the response declares a document type, which is refused: it could expand without "
        "bounds or read files"
    )


@cache
def _shape(nesting: tuple[str, ...]) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """Return patterns of how a plain page begins, and of a row's end that no row follows."""
    root, *inner, row = nesting
    opening = "".join(rf"<{name}>\s*+" for name in inner)
    closing = "".join(rf"</{name}>\s*+" for name in reversed(nesting[:-1]))
    begin = rf"\s*+(?:<\?xml[^<>]*>\s*+)?<{root}(?:\s[^<>]*(?<!/))?>\s*+{opening}(?=<{row}>)"
    return (
        re.compile(b"(?:" + codecs.BOM_UTF8 + b")?" + begin.encode()),
        re.compile(rf"</{row}>\s*+(?!<{row}>|{closing}\Z)".encode()),
    )


def _is_plain(content: bytes, nesting: tuple[str, ...]) -> bool:
    """Return whether a well-formed document is rows and nothing else, as nearly all are.

    This takes a tenth of the time of `_count_rows`, which decides where it returns False. Where
    `<Row>` or the page's end follows each `</Row>`, the rows stand side by side, with nothing
    between them. Comments, CDATA and processing instructions could hide a tag.
    """
    begin, broken_seam = _shape(nesting)
    head = begin.match(content)
    return (
        head is not None
        and b"nil" not in head[0]
        and b"<!" not in content
        and content.find(b"<?", head.end()) < 0
        and not broken_seam.search(content)
    )


def _count_rows(content: bytes, nesting: tuple[str, ...]) -> int:
    """Count the rows of a well-formed document, and refuse what stands in their place."""
    parser = expat.ParserCreate()
    depth = rows = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, rows
        depth += 1
        if depth > len(nesting):
            return
        expected, is_row = nesting[depth - 1], depth == len(nesting)
        if name.lower() != expected.lower():
            raise BadBodyError(_not_expected(name[:50], expected, is_row=is_row))
        if is_row:
            rows += 1
        elif any(key.rpartition(":")[2] == "nil" for key in attributes):
            raise BadBodyError(f"the response has a nil <{name}> in the place of rows")

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    def text(data: str) -> None:
        if depth < len(nesting) and data.strip(WHITE):
            raise BadBodyError(
                f"the response has text in the place of rows: {data.strip()[:50]!r}"
            )

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.Parse(content, True)  # noqa: FBT003
    return rows


def _not_expected(name: str, expected: str, *, is_row: bool) -> str:
    if is_row:
        return (
            f"the response has rows <{name}> instead of <{expected}>; "
            "a newer version of the tap may know them"
        )
    return f"the response is <{name}> instead of <{expected}>"


def _repair(body: Body) -> None:
    """Replace what XML forbids, raw or as a reference, and escape other ampersands."""
    try:
        text = body.content.decode()
    except UnicodeDecodeError:
        text = body.content.decode(errors="replace")
        body.repairs[_BAD_BYTE] += _undecodable(body.content, "utf-8")
    text, replaced = _FORBIDDEN.subn(REPLACEMENT, text)
    body.repairs[_BAD_CHARACTER] = replaced

    def escaped(match: re.Match[str]) -> str:
        found, name = match[0], match["name"]
        if not found.startswith("&") or name in _OF_XML:
            return found
        if digits := match["hex"] or match["decimal"]:
            character = _character(digits)
            if character is None:
                body.repairs[_BAD_CHARACTER] += 1
                return REPLACEMENT
            if not digits.startswith("X"):  # `&#X41;` is not XML: only a lower-case x is
                return found
        else:
            character = html5.get(f"{name};") if name else None
        body.repairs["invalid entity"] += 1
        return found.replace("&", "&amp;", 1) if character is None else html.escape(character)

    body.content = _AMPERSAND.sub(escaped, text).encode()
    body.repairs = +body.repairs  # without what did not happen


def _character(digits: str) -> str | None:
    """Return the character of a reference such as `31` or `x1F`, None if XML forbids it."""
    base = 16 if digits[0] in "xX" else 10
    code = int(digits.lstrip("xX").lstrip("0")[:8] or "0", base)
    if code > sys.maxunicode or _FORBIDDEN.match(chr(code)):
        return None
    return chr(code)
