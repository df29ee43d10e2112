from __future__ import annotations

import pytest
from msp_xero_transforms.plain_text import from_html, shorten, tidy, utf16_length


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("plain", "plain"),
        ("", ""),
        ("one\ntwo\n\n\nthree", "one\ntwo\nthree"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("  a \t b \n  c  ", "a b\nc"),
        ("<div>a</div><div>b</div>", "a\nb"),
        ("<div><p>a</p></div>b", "a\nb"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("<p>one\ntwo</p>", "one two"),
        ("<pre>one\ntwo</pre>", "one\ntwo"),
        ("<b>bo</b>ld", "bold"),
        ("<ul><li>one</li><li>two</li></ul>", "- one\n- two"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("<style>p{}</style><script>x()</script><p>y</p>", "y"),
        ("<!-- note --><p>y</p>", "y"),
        ("a &amp; b &lt;i&gt; &eacute;&nbsp;&#128512;", "a & b <i> é 😀"),
        ("<p>&lt;script&gt;</p>", "<script>"),
        ("AT&T", "AT&T"),
        ("if x<y and y>z", "if x<y and y>z"),
        ("load < 5 <", "load < 5 <"),
        ("<user@example.test> wrote", "<user@example.test> wrote"),
        ("<P>upper</P>", "upper"),
        ("<div>not closed <b>here", "not closed here"),
        ("<html><head><title>t</title></head><body>b</body></html>", "b"),
        ("a\0<b>b\0</b>", "ab"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("a\ud800b", "a\ufffdb"),
    ],
)
def test_html_becomes_text(source, expected):
    assert from_html(source) == expected


def test_deep_nesting_is_walked_without_recursion():
    assert from_html("<div>" * 5_000 + "deep") == "deep"


def test_an_emoji_counts_twice():
    assert utf16_length("a😀é") == 4


@pytest.mark.parametrize(
    ("text", "longest", "expected"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdef", 5, "abcd…"),
        ("ab   cdef", 5, "ab…"),
        ("ab😀cd", 4, "ab…"),
        ("ab😀cd", 5, "ab😀…"),
        ("ab👍🏽cd", 6, "ab…"),
        ("ab👩‍👩‍👧cd", 8, "ab…"),
        ("ae\u0301cd", 3, "a…"),
        ("🇳🇿🇬🇧x", 7, "🇳🇿…"),
        ("\u0301" * 10, 5, "\u0301" * 4 + "…"),
    ],
)
def test_texts_are_cut_between_visible_characters(text, longest, expected):
    assert shorten(text, longest) == expected


def test_tidy_keeps_tabs_apart_and_drops_control_characters():
    assert tidy("a\tb\x01c\x9fd\x85e") == "a bcd\ne"
