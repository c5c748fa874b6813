from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.dispatch.plaintext import text_of


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>One</p><p>Two</p>", "One\n\nTwo"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ('See <a href="https://x.example/?a=1&amp;b=2">our menu</a>.', "See our menu (https://x.example/?a=1&b=2)."),
        ('<a href="https://x.example">https://x.example</a>', "https://x.example"),
        ('<a href="mailto:hi@x.example">hi@x.example</a>', "hi@x.example"),
        ('<a href="https://x.example"><img src="a.png" alt="Our menu"></a>', "Our menu (https://x.example)"),
        ("<ul><li>tea</li><li>cake</li></ul>", "- tea\n\n- cake".replace("\n\n", "\n")),
        ("<table><tr><td>a</td></tr><tr><td>b</td></tr></table>", "a\n\nb"),
        ("<head><title>t</title><style>p{}</style></head><script>x()</script><p>shown</p>", "shown"),
        ('<div style="display: none">preview</div><div hidden>x</div>shown', "shown"),
        ('<div style="display:none"><p>deep <b>down</b></p></div>shown', "shown"),
        ("&lt;b&gt; &amp; &nbsp; caf&eacute;", "<b> & café"),
        ("  many \n   blanks ", "many blanks"),
        ("<!-- [if mso]>x<![endif]-->shown", "shown"),
        ("<p>未完", "未完"),
        ("</p></div>text</b>", "text"),
    ],
)
def test_html_becomes_what_its_reader_sees(html, text):
    assert text_of(html).replace("\n\n- ", "\n- ") == text


@given(st.text(alphabet="<>/ab\"'= &;!-\n", max_size=80))
def test_no_markup_however_broken_raises(html):
    assert isinstance(text_of(html), str)
