"""Bytes of a response in, well-formed XML out. Pure, no I/O.

Every body is treated as hostile.
"""

from __future__ import annotations

import codecs
import html
import re
import sys
from html.entities import html5
from typing import TYPE_CHECKING
from xml.parsers import expat

from tap_litmos.errors import BadBodyError, HostileBodyError

if TYPE_CHECKING:
    from tap_litmos.rows import Findings

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

REPAIR = "repairs"
"""What `Findings` call a repair."""

WHITE = " \t\r\n"
"""What XML takes for white space."""

_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# The first three skip what may hold an ampersand that is text. Where their end is missing they
# skip all that follows: else it would be searched again from each further beginning.
_AMPERSAND = re.compile(
    r"<!\[CDATA\[.*?(?:\]\]>|\Z)|<!--.*?(?:-->|\Z)|<\?.*?(?:\?>|\Z)"
    r"|&(?:#(?P<digits>[xX][0-9a-fA-F]+|[0-9]+);|(?P<name>[a-zA-Z0-9]+);)?",
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


def clean_body(content: bytes, charset: str | None, findings: Findings) -> bytes:
    """Return a body as well-formed XML in UTF-8, repaired where possible.

    A well-formed document only changes its encoding. In any other, references to control
    characters such as `&#x1F;`, which .NET writes (inferred) and XML 1.0 forbids, become
    U+FFFD; an ampersand that starts no entity is escaped; an entity of HTML becomes its
    character; the two halves of a character are joined.

    Args:
        content: The body of the response.
        charset: The encoding that the Content-Type header names, for a body that declares none.
        findings: Receives what was repaired.

    Raises:
        BadBodyError: If it is cut short, HTML, or otherwise not XML.
        HostileBodyError: If it declares a document type.
    """
    body = _decode(content, charset, findings)
    try:
        _parse(body)
    except expat.ExpatError:
        body = _repair(body, findings)
        try:
            _parse(body)
        except expat.ExpatError as error:
            where = f"line {error.lineno}, column {error.offset}"
            what = expat.ErrorString(error.code)
            raise BadBodyError(f"the response is not XML ({what}: {where})") from None
    return body


def _decode(content: bytes, charset: str | None, findings: Findings) -> bytes:
    """Return a body in UTF-8, whatever its encoding; UTF-8 is passed through unchanged."""
    declaration = _DECLARATION.match(content[:200].decode("latin-1"))
    declared = declaration[3] if declaration else ""
    shown = [codec for mark, codec in _MARKS if content.startswith(mark)]
    encoding = next(filter(None, [*shown, declared, charset, "utf-8"])).lower()
    encoding = "utf-8" if "ascii" in encoding else encoding  # servers say ASCII and send UTF-8
    if encoding == "utf-8" and declared.lower() in {"", "utf-8"}:
        return content
    try:
        text = _to_text(content, encoding, findings)
    except (LookupError, ValueError) as error:
        raise BadBodyError(f"cannot read the response's encoding ({error})") from None
    return _DECLARATION.sub(r"\1\2", text).encode(errors="surrogatepass")


def _to_text(content: bytes, encoding: str, findings: Findings) -> str:
    """Decode a body; replace what is not valid in its encoding."""
    try:
        return content.decode(encoding, "surrogatepass")
    except UnicodeDecodeError:
        findings.add(REPAIR, "undecodable byte")
        return content.decode(encoding, "replace")


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
        raise BadBodyError(f"cannot read the response's encoding ({error})") from None


def _refuse_document_type(name: str, *_: object) -> None:
    if name.lower() == "html":
        raise BadBodyError("the response is an HTML page")
    raise HostileBodyError(
        "the response declares a document type, which could expand without bounds or read "
        "files. Check that api_url is really Litmos"
    )


def _repair(content: bytes, findings: Findings) -> bytes:
    """Replace what XML forbids, raw or as a reference, and escape other ampersands."""

    def escaped(match: re.Match[str]) -> str:
        found, digits, name = match[0], match["digits"], match["name"]
        if not found.startswith("&") or name in _OF_XML:
            return found
        if digits:
            return _resolved(found, digits)
        findings.add(REPAIR, "invalid entity")
        character = html5.get(f"{name};")
        return html.escape(character) if character else found.replace("&", "&amp;", 1)

    text = _AMPERSAND.sub(escaped, _to_text(content, "utf-8", findings))
    # This joins the two halves of a character beyond U+FFFF; half a character stays one.
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    text, replaced = _FORBIDDEN.subn(REPLACEMENT, text)
    findings.add(REPAIR, "forbidden character", times=replaced)
    return text.encode()


def _resolved(reference: str, digits: str) -> str:
    """Return a reference such as `&#31;`, as its character if XML does not allow it."""
    code = int(digits.lstrip("xX").lstrip("0")[:8] or "0", 16 if digits[0] in "xX" else 10)
    character = chr(code) if code <= sys.maxunicode else "\uffff"
    is_xml = digits[0] != "X" and not _FORBIDDEN.match(character)  # `&#X41;` is not XML
    return reference if is_xml else html.escape(character)
