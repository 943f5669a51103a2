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
_HIGH = r"(?:[xX]0*[dD][89abAB][0-9a-fA-F]{2}|55(?:29[6-9]|[3-9]\d\d)|56(?:[0-2]\d\d|3[01]\d))"
_LOW = (
    r"(?:[xX]0*[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|56(?:3[2-9]\d|[4-9]\d\d)|57(?:[0-2]\d\d|3(?:[0-3]\d|4[0-3])))"
)
_AMPERSAND = re.compile(
    r"<!\[CDATA\[.*?(?:\]\]>|\Z)|<!--.*?(?:-->|\Z)|<\?.*?(?:\?>|\Z)"
    rf"|&#(?P<high>{_HIGH});&#(?P<low>{_LOW});"
    r"|&(?:#(?P<hex>[xX][0-9a-fA-F]+);|#(?P<decimal>[0-9]+);|(?P<name>[a-zA-Z0-9]+);)?",
    re.DOTALL,
)
_PAIR = re.compile(rb"\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf]")
"""A character beyond U+FFFF whose two UTF-16 halves were each written in UTF-8."""

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

_BAD_BYTE = "undecodable byte"
_BAD_CHARACTER = "forbidden character"
_PAIRS = "character in two halves"


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
        return content.decode(encoding)
    except UnicodeDecodeError:
        findings.add(REPAIR, _BAD_BYTE)
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
    content, joined = _PAIR.subn(lambda pair: _joined(pair[0]), content)
    findings.add(REPAIR, _PAIRS, times=joined)
    text, replaced = _FORBIDDEN.subn(REPLACEMENT, _to_text(content, "utf-8", findings))
    findings.add(REPAIR, _BAD_CHARACTER, times=replaced)

    def escaped(match: re.Match[str]) -> str:
        found, name = match[0], match["name"]
        if not found.startswith("&") or name in _OF_XML:
            return found
        if match["high"]:
            findings.add(REPAIR, _PAIRS)
            high, low = _code(match["high"]), _code(match["low"])
            return chr(0x10000 + ((high - 0xD800) << 10) + low - 0xDC00)
        digits = match["hex"] or match["decimal"]
        if digits and not _is_allowed(digits):
            findings.add(REPAIR, _BAD_CHARACTER)
            return REPLACEMENT
        if digits and digits[0] != "X":  # `&#X41;` is not XML: only a lower-case x is
            return found
        character = chr(_code(digits)) if digits else html5.get(f"{name};")
        findings.add(REPAIR, "invalid entity")
        return found.replace("&", "&amp;", 1) if character is None else html.escape(character)

    return _AMPERSAND.sub(escaped, text).encode()


def _joined(pair: bytes) -> bytes:
    halves = pair.decode(errors="surrogatepass").encode("utf-16", "surrogatepass")
    return halves.decode("utf-16").encode()


def _is_allowed(digits: str) -> bool:
    code = _code(digits)
    return code <= sys.maxunicode and not _FORBIDDEN.match(chr(code))


def _code(digits: str) -> int:
    """Return the code point of a reference such as `31` or `x1F`."""
    return int(digits.lstrip("xX").lstrip("0")[:8] or "0", 16 if digits[0] in "xX" else 10)
