"""Texts as people wrote them, turned into texts that an invoice can carry."""

from __future__ import annotations

import html
import re
import unicodedata
from typing import TYPE_CHECKING

from selectolax.lexbor import LexborHTMLParser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selectolax.lexbor import LexborNode

ELLIPSIS = "…"

# Parsing time grows with the square of the nesting, and nobody bills a novel.
_MAX_HTML = 250_000
_EMBEDDED_FILE = re.compile(r"data:[^\"'\s>)]{200,}")

_BLOCK_TAGS = (
    "address article aside blockquote center dd details div dl dt fieldset figcaption figure footer form "
    "h1 h2 h3 h4 h5 h6 header hr li main nav ol p pre section summary table tbody tfoot thead tr ul"
)
_INLINE_TAGS = (
    "a abbr b big br cite code del em font head html body i img ins kbd link mark meta o:p q s script small "
    "span strike strong style sub sup td template th title tt u"
)
_BLOCKS = frozenset(_BLOCK_TAGS.split())
_CELLS = frozenset({"td", "th"})
_DROPPED = frozenset({"head", "noscript", "script", "style", "template", "title"})
_TAGS = "|".join((*_BLOCK_TAGS.split(), *_INLINE_TAGS.split()))
# Text such as "x<y" is not HTML: a browser would take the rest of it for a tag and show nothing.
_MARKUP = re.compile(rf"<(?:/?(?:{_TAGS})\b|!--|!doctype)", re.IGNORECASE)

_NEWLINES = re.compile(r"\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\u200b\ufeff\ufffe\uffff]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_SPACES = re.compile(r"[^\S\n]+")
_LINE_ENDS = re.compile(r" ?\n[ \n]*")


def tidy(text: str) -> str:
    """Drop control characters, fold spaces and empty lines, and strip the ends."""
    text = _CONTROLS.sub("", _NEWLINES.sub("\n", text))
    if not text.isascii():
        text = _SURROGATES.sub("\ufffd", text)
    return _LINE_ENDS.sub("\n", _SPACES.sub(" ", text)).strip()


def from_html(source: str) -> str:
    """Turn a description into plain text: blocks become lines, entities characters, scripts nothing.

    A description without any HTML tag keeps its own lines.
    """
    if "<" in source and _MARKUP.search(source):
        if len(source) > _MAX_HTML:
            source = _EMBEDDED_FILE.sub("", source)[:_MAX_HTML]
        # The parser ends a text at a NUL.
        body = LexborHTMLParser(source.replace("\0", "")).body
        source = "".join(_texts(body)) if body else ""
    elif "&" in source:
        source = html.unescape(source)
    return tidy(source)


def _texts(root: LexborNode) -> Iterator[str]:
    """Walk a tree without recursion, because nesting is as deep as the sender likes."""
    node = root.first_child
    while node is not None:
        yield _opening(node)
        following = None if node.tag in _DROPPED else node.first_child
        while following is None:
            if node.tag in _BLOCKS:
                yield "\n"
            following = node.next
            if following is None:
                node = node.parent
                if node is None or node.mem_id == root.mem_id:
                    return
        node = following


def _opening(node: LexborNode) -> str:
    if node.is_text_node:
        text = node.text_content or ""
        return text if _is_preformatted(node) else text.replace("\n", " ").replace("\r", " ")
    if node.tag == "li":
        return "\n- "
    if node.tag in _BLOCKS or node.tag == "br":
        return "\n"
    return " " if node.tag in _CELLS else ""


def _is_preformatted(text: LexborNode) -> bool:
    return text.parent is not None and text.parent.tag == "pre"


def utf16_length(text: str) -> int:
    """Return the length as Xero counts it: an emoji is two."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def shorten(text: str, longest: int) -> str:
    """Cut a text to a number of UTF-16 code units; an ellipsis shows the cut.

    What people see as one character (an emoji with a skin tone, a letter with accents, a flag) is
    kept or dropped as a whole.
    """
    if utf16_length(text) <= longest:
        return text
    room = longest - len(ELLIPSIS)
    # Decoding drops the half of a pair that the cut may leave.
    kept = text.encode("utf-16-le", "surrogatepass")[: 2 * room].decode("utf-16-le", "ignore")
    end = len(kept)
    while end and _joined(text, end):
        end -= 1
    return text[: end or len(kept)].rstrip() + ELLIPSIS


def _joined(text: str, at: int) -> bool:
    """Say whether a cut before this position would split a visible character."""
    before, after = text[at - 1], text[at]
    if after in _JOINERS or before == _ZERO_WIDTH_JOINER or unicodedata.category(after).startswith("M"):
        return True
    if _is_regional(before) and _is_regional(after):
        run = at
        while run and _is_regional(text[run - 1]):
            run -= 1
        return (at - run) % 2 == 1
    return False


_ZERO_WIDTH_JOINER = "\u200d"
_JOINERS = frozenset(
    [_ZERO_WIDTH_JOINER, *map(chr, range(0x1F3FB, 0x1F400)), *map(chr, range(0xE0020, 0xE0080))]
)


def _is_regional(character: str) -> bool:
    """Flags are pairs of these letters."""
    return "\U0001f1e6" <= character <= "\U0001f1ff"
