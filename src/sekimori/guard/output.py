r"""What a reply would do to whoever shows it: markup that runs or fetches, and sequences that steer a terminal.

Every place where a construct can begin is judged as if it did begin there, whatever stands around it: comments, quotes
and code are not followed, for a reader that follows them another way than the browser does is how filters are passed.
So a finding in a code example counts as well. What is put in a finding's place is text that shows the same and does
nothing, and it holds none of the characters that could make a construct of what stands beside it:

- a tag's `<` becomes `&lt;` and each `=` in it `&#61;`: should it stand inside of another tag, that one gets no
  attribute by it either. The closing `>` stays, so that no tag grows longer than it was;
- `](` becomes `] (` and `]:` becomes `] :`, which no Markdown reader takes for a link or a definition, and which do not
  depend on how many backslashes stand before them, as an escape would;
- every control character of a terminal goes.

Markdown: an inline image is a finding unless its address is plain to read and leads to a listed host or nowhere else.
Images by reference are stopped at the definition, which may stand anywhere. HTML within Markdown is judged by what it
fetches and where it leads alone; name the consumer `html` where it is shown as it comes.

Bounds: a tag of more than TAG characters, an image's text of more than ALT and an address of more than ADDRESS are not
read to their end: they are findings where they could be any. Within Markdown, an attribute that stands more than AHEAD
characters behind the `<` of a tag that is broken by another one is not seen.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from html import unescape
from typing import Final, Literal, NamedTuple

from sekimori.guard.spans import Detector, Match

CHECK: Final = "output_injection"
TAG: Final = 12 * 1024
ALT: Final = 4096
ADDRESS: Final = 2048
AHEAD: Final = 2048
SEQUENCE: Final = 4096
"""Characters of a terminal's control string that are taken out with what begins it."""

Consumer = Literal["html", "markdown", "terminal"]


def detectors(consumer: str, hosts: Collection[str]) -> tuple[Detector, ...]:
    """What looks for injection into a consumer: `html`, `markdown` or `terminal`.

    `hosts`: DNS names in lower case, with `*.` before them for any name below, to which images and links may lead.
    """
    if consumer == "terminal":
        return (_Terminal(),)
    return (_Markup(_Hosts(hosts), markdown=consumer != "html"),)


# Addresses.

_IGNORED: Final = re.compile("[\x00-\x20\x7f-\xa0\u00ad\u200b-\u200f\u2028-\u202f\u2060-\u2064\ufeff]+")
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]{0,40}(?=:)")
_RUNS: Final = re.compile(
    r"(?:javascript|vbscript|livescript|mocha|data|file|blob|filesystem|view-source|jar|mhtml|feed|intent|shell"
    r"|search-ms|ms-[a-z-]+):"
)
_SHOWS: Final = re.compile(r"data:image/(?:png|gif|jpe?g|webp|avif|bmp|x-icon)[;,]")
_AUTHORITY: Final = re.compile(r"([a-z0-9.-]+)(?::[0-9]{0,5})?\Z")
_BESIDE: Final = re.compile(r"[/\\?#]")
_SHORT_QUERY: Final = re.compile(r"(?:[a-z_]{1,12}=[a-z0-9]{0,4}(?:&[a-z_]{1,12}=[a-z0-9]{0,4})?)?\Z", re.IGNORECASE)
_SLUG: Final = re.compile(r"(?:[a-z]{1,24}(?:[-_.][a-z]{1,24}|[-_.][0-9]{1,4}){0,7})?\Z", re.IGNORECASE)
_BLOB: Final = re.compile(r"[A-Za-z0-9_=+%~]{28,}|[0-9a-fA-F]{16,}|[0-9]{9,}|(?:%[0-9a-fA-F]{2}){4}")
_NAME_BLOB: Final = re.compile(r"[a-z0-9-]{25,}|[0-9a-f]{16,}|[0-9]{8,}")
LONG_PATH: Final = 120


class _Address(NamedTuple):
    """Where an address leads."""

    kind: Literal["local", "listed", "external", "runs"]
    host: str = ""
    """Of an external one, in letters that mean nothing anywhere; `elsewhere` where it cannot be read."""
    room: int = 0
    """Characters of an external one that could tell its host something, its fixed parts left out."""


_LOCAL: Final = _Address("local")


class _Hosts:
    """The hosts to which a reply may lead."""

    __slots__ = ("_below", "_names")

    def __init__(self, hosts: Collection[str]) -> None:
        self._names = frozenset(host for host in hosts if not host.startswith("*."))
        self._below = tuple(host[1:] for host in hosts if host.startswith("*."))

    def address(self, written: str) -> _Address:
        """Where an address leads, as a browser reads it: entities resolved, spaces and controls inside left out."""
        said = unescape(written) if "&" in written else written
        said = _IGNORED.sub("", said)
        low = said[:64].lower()
        scheme = _SCHEME.match(low)
        if scheme is not None:
            if scheme.group() not in ("http", "https", "ftp", "ws", "wss"):
                # With nothing behind its colon it is a key of somebody's dictionary, not an address.
                runs = len(said) > scheme.end() + 1 and _RUNS.match(low) is not None and _SHOWS.match(low) is None
                return _Address("runs", scheme.group()) if runs else _LOCAL
            rest = said[scheme.end() + 1 :]
            # `https:host` and `https:///host` lead to the host just as well.
            rest = rest.lstrip("/\\")
            if not rest:
                return _LOCAL
        elif said[:1] in ("/", "\\") and said[1:2] in ("/", "\\"):
            rest = said.lstrip("/\\")
            if not rest:
                return _LOCAL
        else:
            return _LOCAL
        return self._external(rest)

    def _external(self, rest: str) -> _Address:
        beside = _BESIDE.search(rest)
        authority = rest if beside is None else rest[: beside.start()]
        after = "" if beside is None else rest[beside.start() :]
        plain = _AUTHORITY.match(authority.lower())
        if plain is None or "\\" in rest[: len(authority) + 1]:
            # User names, escapes and other alphabets: two readers may see two hosts in it.
            return _Address("external", "elsewhere", max(_room(after), len(authority)))
        host = plain.group(1).rstrip(".")
        if host in self._names or (self._below and host.endswith(self._below)):
            return _Address("listed", host)
        room = _room(after) + (len(host) if _NAME_BLOB.search(host) else 0)
        return _Address("external", host[:60], room)


def _room(after: str) -> int:
    path, hash_, fragment = after.partition("#")
    path, mark, query = path.partition("?")
    room = 0
    if mark and _SHORT_QUERY.match(query) is None:
        room += len(query)
    if hash_ and _SLUG.match(fragment) is None:
        room += len(fragment)
    if len(path) > LONG_PATH or _BLOB.search(path):
        room += len(path)
    return room


# Markup.

_S: Final = r"[\t\n\f\r ]"
_HTML_STARTS: Final = re.compile(r"<(?=/?[a-zA-Z])")
# Each alternative begins with a letter of its own, which lets the engine leap. An address is told at its `:` or `.`.
_MARKDOWN_STARTS: Final = re.compile(
    r"<(?=/?[a-zA-Z])|!(?=[^\s!])|\](?=[(:])|:(?<=[hH][tT][tT][pP]:)|:(?<=[hH][tT][tT][pP][sS]:)|\.(?<=[wW][wW][wW]\.)"
)
_HTML_CUT: Final = re.compile(r"</?\Z")
_MARKDOWN_CUT: Final = re.compile(r"(?:</?|[!\]]|[hH](?:[tT](?:[tT](?:[pP][sS]?)?)?)?|[wW]{1,3})\Z")
_NEXT: Final = re.compile(r"</?[a-zA-Z]")
_NAME: Final = re.compile(r"</?([a-zA-Z][^\t\n\f\r />]*)")
# A name runs to the next space, slash, `>` or `=`: said once more behind it, so that none is split to make a match.
_ATTRIBUTE: Final = re.compile(
    r"[\t\n\f\r /]*(?:(>)|(=[^\t\n\f\r />=]*|[^\t\n\f\r />=]+)(?=[\t\n\f\r />=]|\Z)"
    rf"(?:{_S}*={_S}*(?:\"([^\"]*)\"|'([^']*)'|([^\t\n\f\r >\"'][^\t\n\f\r >]*)|(?=>))|(?!{_S}*=)))"
)
_LOADS: Final = frozenset(
    {"src", "poster", "background", "lowsrc", "dynsrc", "data", "code", "codebase", "archive",
     "classid", "manifest", "icon", "ping", "profile", "longdesc", "xlink:href", "usemap", "srcdoc"}
)  # fmt: skip
_LEADS: Final = frozenset({"href", "action", "formaction", "cite"})
_LOAD_BY_HREF: Final = frozenset({"link", "image", "use", "feimage", "base", "script", "pattern", "filter", "mpath"})
_RUN: Final = frozenset(
    {
        "script", "iframe", "frame", "frameset", "object", "embed", "applet", "svg", "math", "base", "basefont", "meta",
        "link", "form", "input", "button", "textarea", "select", "option", "optgroup", "keygen", "isindex", "style",
        "template", "noscript", "noembed", "noframes", "xmp", "plaintext", "listing", "title", "portal", "fencedframe",
        "bgsound", "layer", "ilayer", "xml", "param", "slot", "animate", "animatetransform", "animatemotion", "set",
        "foreignobject", "use", "image", "html", "head", "body", "dialog", "model", "annotation-xml", "desc",
    }
)  # fmt: skip
"""Elements that run, load, send or change how what follows is read."""
_PLAIN_NAME: Final = re.compile(r"[a-z][a-z0-9]*\Z")
_ATTRIBUTES: Final = 64
"""Attributes of one tag that are read; with more it counts as broken."""
_ODD: Final = re.compile(r"[\"'=]")
_FETCHES: Final = re.compile(r"(?:src|srcset|href|poster|background|lowsrc|dynsrc|style)[\t\n\f\r ]*=", re.IGNORECASE)
_STYLE_RUNS: Final = re.compile(r"expression\(|javascript:|vbscript:|behaviou?r:|-moz-binding|\\|@import")
_STYLE_COMMENT: Final = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_STYLE_URL: Final = re.compile(r"url\(\s*[\"']?([^\"')]*)|((?:https?:)?//[^\"')\s]*)")

_CLEAN: Final = re.compile(r"!\[[^\[\]\\`<\n]{0,1024}\]")
_CLEAN_OPEN: Final = re.compile(r"!\[[^\[\]\\`<\n]{0,1024}\Z")
_INLINE_OPEN: Final = re.compile(
    r"\([\s>]{0,64}(?:(?:<[^<>\n]{0,2048}|[^\s<>()\\]{0,2048})|(?:<[^<>\n]{0,2048}>|[^\s<>()\\]{0,2048})"
    r"(?:\s{1,16}(?:\"[^\"\\\n]{0,512}\"?|'[^'\\\n]{0,512}'?|\([^()\\\n]{0,512}\)?))?\s{0,16})\Z"
)
_INLINE: Final = re.compile(
    r"\([\s>]{0,64}(?:<([^<>\n]{0,2048})>|([^\s<>()\\]{0,2048}))"
    r"(?:\s{1,16}(?:\"[^\"\\\n]{0,512}\"|'[^'\\\n]{0,512}'|\([^()\\\n]{0,512}\)))?\s{0,16}\)"
)
_TARGET: Final = re.compile(r"[\s>]{0,64}(<[^<>\n]{0,2048}|[^\s<>\]]{0,2048})")
_UNREAD: Final = "?unread"
"""Stands for the rest of an address that is not read to its end: it has room for something."""
_ESCAPED: Final = re.compile(r"\\([!-/:-@\[-`{-~])")
_BLANK: Final = re.compile(r"\n[ \t\r>]*\n")
_PARENTHESIS: Final = re.compile(r"\\.|[()]")
_BARE: Final = re.compile(r"[hHwW][^\s<>\"`\])}|^]{0,2048}")
_CALLED: Final = re.compile(r"![^\n(]{1,200}\(|!\([^\n(]{1,200}\(")
_CALLED_OPEN: Final = re.compile(r"!\(?[^\n(]{0,200}\Z")
LINK_ROOM: Final = 4
"""Characters of an address that a link may have room for: a page's number, a language."""
BARE_ROOM: Final = 48
"""The same for an address that stands in a text as such: people write them, and only some readers make them links."""


class _Finding(NamedTuple):
    type: str
    host: str = ""


_OPEN: Final = -1
"""What begins here is not over, and may still be either."""


class _Ahead:
    """What follows in one text, each place looked at once however often it is asked."""

    __slots__ = ("_blank", "_ended", "_external", "_fetching", "_hosts", "_text", "open")

    def __init__(self, hosts: _Hosts, text: str, ended: bool) -> None:
        self._hosts = hosts
        self._text = text
        self._ended = ended
        self._blank = self._external = self._fetching = self.open = -1

    def blank(self, begin: int) -> int:
        """Where the next blank line begins; the text's end where none does."""
        if self._blank < begin:
            found = _BLANK.search(self._text, begin)
            self._blank = len(self._text) if found is None else found.start()
        return self._blank

    def fetching(self, begin: int) -> int:
        """Where the next attribute ends that fetches something; the text's end where none does."""
        if self._fetching < begin:
            found = _FETCHES.search(self._text, begin)
            self._fetching = len(self._text) if found is None else found.end() - 1
        return self._fetching

    def external(self, begin: int) -> int:
        """Where the next `](` to a host that is not listed begins, or one that is not over; else the text's end."""
        if self._external < begin:
            at = self._text.find("](", begin)
            while at >= 0:
                told = _read(self._text, at + 2, self._ended)
                if told is None:
                    self.open = at
                    break
                if self._hosts.address(told[0]).kind in ("external", "runs"):
                    break
                at = self._text.find("](", at + 2)
            self._external = len(self._text) if at < 0 else at
        return self._external


class _Markup:
    """See the module."""

    __slots__ = ("_cut", "_hosts", "_markdown", "_starts")

    def __init__(self, hosts: _Hosts, *, markdown: bool) -> None:
        self._hosts = hosts
        self._markdown = markdown
        self._starts = _MARKDOWN_STARTS if markdown else _HTML_STARTS
        self._cut = _MARKDOWN_CUT if markdown else _HTML_CUT

    def find(self, text: str, at: int, ended: bool) -> tuple[Sequence[Match], int]:
        matches: list[Match] = []
        done = linked = at
        ahead = _Ahead(self._hosts, text, ended)
        told: Match | int | None
        for start in self._starts.finditer(text, at):
            begin = start.start()
            first = text[begin]
            if first == "<":
                told = self._tag(text, begin, ended, ahead) if begin >= done else None
            elif first == "!":
                if begin < done:
                    continue
                if text[begin + 1] == "[":
                    told = self._image(text, begin, ended, ahead)
                else:
                    told = self._called(text, begin, ended)
            elif first == "]":
                told = self._target(text, begin, ended) if begin >= done else None
            else:
                begin -= 3 if first == "." else 4 if text[begin - 1] in "pP" else 5
                if begin < max(done, linked) or (begin and text[begin - 1].isalnum()):
                    continue  # judged as the address of a link, or no word of its own
                told = self._bare(text, begin, ended)
            if told is None:
                continue
            if isinstance(told, Match):
                matches.append(told)
                done = told.end
            elif told == _OPEN:
                return matches, begin
            else:
                linked = told
        if ended:
            return matches, len(text)
        cut = self._cut.search(text, max(done, len(text) - 8))
        return matches, len(text) if cut is None else cut.start()

    # Tags.

    def _tag(self, text: str, begin: int, ended: bool, near: _Ahead) -> Match | int | None:
        limit = min(len(text), begin + TAG)
        following = _NEXT.search(text, begin + 1, limit)
        stop = limit if following is None else following.start()
        name = _NAME.match(text, begin, stop)
        assert name is not None
        known = following is not None or ended or limit == begin + TAG
        close = text.find(">", begin, stop)
        if close < 0 and not known:
            return _OPEN
        element = name.group(1).lower()
        finding = self._named(element)
        if close >= 0 and "=" not in text[begin:close]:
            # Without a value nothing is quoted: here the tag ends.
            return None if finding is None else _escaped(text, begin, close, finding, element, self._markdown)
        end = -1
        if close >= 0:
            finding, end = self._attributes(text, element, name.end(), stop, finding)
        if end >= 0:
            return None if finding is None else _escaped(text, begin, end, finding, element, self._markdown)
        if not known:
            return _OPEN
        # Broken: it runs into another one, or does not end.
        if self._markdown:
            ahead = min(begin + AHEAD, len(text))
            if _ODD.search(text, begin, stop) is None:
                return None
            if near.fetching(begin) >= ahead:
                return None if ended or len(text) >= begin + AHEAD else _OPEN
        return _escaped(text, begin, stop, _Finding("BROKEN_TAG"), element, self._markdown)

    def _named(self, element: str) -> _Finding | None:
        """What an element is by its name alone."""
        if self._markdown or (_PLAIN_NAME.match(element) is not None and element not in _RUN):
            return None
        return _Finding("ACTIVE_CONTENT")

    def _attributes(
        self, text: str, element: str, at: int, stop: int, finding: _Finding | None
    ) -> tuple[_Finding | None, int]:
        """What a tag's attributes do, and where its `>` stands; -1 where none does before `stop`."""
        for _ in range(_ATTRIBUTES):
            attribute = _ATTRIBUTE.match(text, at, stop)
            if attribute is None:
                return finding, -1
            at = attribute.end()
            if attribute.group(1):
                return finding, at - 1
            if finding is None or finding.type == "EXTERNAL_LINK":
                value = attribute.group(3) or attribute.group(4) or attribute.group(5) or ""
                finding = self._attribute(element, attribute.group(2).lower(), value) or finding
        return finding, -1

    def _attribute(self, element: str, name: str, value: str) -> _Finding | None:
        if not self._markdown and (
            (name.startswith("on") and len(name) > 2) or name in ("formaction", "srcdoc", "is", "http-equiv")
        ):
            return _Finding("ACTIVE_CONTENT")
        if value.startswith("="):  # some readers take several for one
            if not self._markdown:
                return _Finding("BROKEN_TAG")
            value = value.lstrip("=")
        if not value:
            return None
        if name == "style":
            return self._style(value)
        if name in ("srcset", "imagesrcset"):
            for piece in re.split(r"[\s,]+", unescape(value)):
                told = self._load(piece)
                if told is not None:
                    return told
            return None
        if name in _LOADS or (name == "href" and element in _LOAD_BY_HREF):
            return self._load(value)
        if name in _LEADS or name.endswith(":href"):
            return self._lead(self._hosts.address(value), LINK_ROOM)
        if name == "content" and "url" in value.lower():  # of a refresh
            return self._load(value[value.lower().index("url") + 3 :].lstrip("\t\n\f\r =\"'"))
        return None

    def _load(self, written: str) -> _Finding | None:
        address = self._hosts.address(written)
        if address.kind == "runs":
            return _Finding("SCRIPT_URL", address.host)
        return _Finding("EXTERNAL_LOAD", address.host) if address.kind == "external" else None

    def _lead(self, address: _Address, room: int) -> _Finding | None:
        if address.kind == "runs":
            return _Finding("SCRIPT_URL", address.host)
        if address.kind == "external" and address.room > room:
            return _Finding("EXTERNAL_LINK", address.host)
        return None

    def _style(self, value: str) -> _Finding | None:
        said = _STYLE_COMMENT.sub("", unescape(value)).lower()
        if _STYLE_RUNS.search(_IGNORED.sub("", said)):
            return _Finding("ACTIVE_CONTENT")
        for one in _STYLE_URL.finditer(said):
            told = self._load(one.group(1) or one.group(2) or "")
            if told is not None:
                return told
        return None

    # Markdown.

    def _image(self, text: str, begin: int, ended: bool, ahead: _Ahead) -> Match | int | None:
        clean = _CLEAN.match(text, begin)
        if clean is not None:
            if clean.end() == len(text):
                return None if ended else _OPEN
            if text[clean.end()] != "(":
                return None  # by reference, where it is an image at all: see `_target`
            inline = _INLINE.match(text, clean.end())
            if inline is not None:
                address = self._hosts.address(_plain(inline.group(1) or inline.group(2) or ""))
                if address.kind in ("local", "listed"):
                    return None
                instead = f"\\[image removed: {address.host}\\]"
                return Match(begin, inline.end(), "EXTERNAL_IMAGE", CHECK, instead=instead)
            if not ended and _INLINE_OPEN.match(text, clean.end()):
                return _OPEN
        elif not ended and _CLEAN_OPEN.match(text, begin):
            return _OPEN
        return self._nested(text, begin, ended, ahead)

    def _nested(self, text: str, begin: int, ended: bool, ahead: _Ahead) -> Match | int | None:
        """An image whose text holds more than text: wherever its paragraph leads, the image may lead."""
        blank = ahead.blank(begin)
        external = ahead.external(begin)
        if external < min(blank, begin + ALT):
            return _OPEN if ahead.open == external else Match(begin, begin + 2, "EXTERNAL_IMAGE", CHECK, instead="! [")
        if blank <= begin + ALT and blank < len(text):
            return None
        if len(text) - begin >= ALT:
            return Match(begin, begin + 2, "EXTERNAL_IMAGE", CHECK, instead="! [")
        return None if ended else _OPEN

    def _target(self, text: str, begin: int, ended: bool) -> Match | int | None:
        """The address of a link, or of a definition, which may be an image's."""
        told = _read(text, begin + 2, ended)
        if told is None:
            return _OPEN
        written, end = told
        address = self._hosts.address(written)
        if text[begin + 1] == ":":
            if address.kind not in ("external", "runs"):
                return end
            finding: _Finding | None = _Finding("EXTERNAL_IMAGE", address.host)
            between = "] :"
        else:
            finding = self._lead(address, LINK_ROOM)
            between = "] ("
        if finding is None:
            return end
        if text[begin + 1] == ":" and address.kind == "external" and address.room <= LINK_ROOM:
            return Match(begin, begin + 2, finding.type, CHECK, instead=between)
        return Match(begin, end, finding.type, CHECK, instead=f"{between}link removed: {finding.host}")

    def _called(self, text: str, begin: int, ended: bool) -> Match | int | None:
        """`!value(address)`: should the value be masked as `[…]`, an image would come of it."""
        called = _CALLED.match(text, begin)
        if called is None:
            return None if ended or not _CALLED_OPEN.match(text, begin) else _OPEN
        told = _read(text, called.end(), ended)
        if told is None:
            return _OPEN
        if not text[called.end() - 2].isspace() and self._hosts.address(told[0]).kind in ("external", "runs"):
            return Match(begin, begin + 1, "EXTERNAL_IMAGE", CHECK, instead="! ")
        return None

    def _bare(self, text: str, begin: int, ended: bool) -> Match | int | None:
        bare = _BARE.match(text, begin)
        assert bare is not None
        if bare.end() == len(text) and not ended and bare.end() - begin < ADDRESS:
            return _OPEN
        written = bare.group() if text[begin] in "hH" else "//" + bare.group()
        room = LINK_ROOM if begin and text[begin - 1] == "<" else BARE_ROOM
        finding = self._lead(self._hosts.address(written), room)
        if finding is None:
            return None
        return Match(begin, bare.end(), finding.type, CHECK, instead=f"(link removed: {finding.host})")


def _plain(written: str) -> str:
    """What a Markdown address says: there a backslash before punctuation means the character alone."""
    return _ESCAPED.sub(r"\1", written) if "\\" in written else written


def _read(text: str, at: int, ended: bool) -> tuple[str, int] | None:
    """The address of a Markdown link that begins at `at`, and where it ends; None where more may follow."""
    target = _TARGET.match(text, at)
    assert target is not None
    end = target.end()
    if end == len(text) and not ended and end - at < ADDRESS + 66:
        return None
    written = target.group(1)
    if not written and target.end() - at >= 64:
        return "//elsewhere./", end  # spaces without end: what follows them is not read, so it is no known host
    if written.startswith("<"):
        return _plain(written[1:]), end
    depth = 0
    for place in _PARENTHESIS.finditer(written):
        if place.group() in "()":
            depth += 1 if place.group() == "(" else -1
            if depth < 0:
                return _plain(written[: place.start()]), target.start(1) + place.start()
            if depth > 8:
                return _plain(written[: place.start()]) + _UNREAD, end
    # Some readers take a `]` for a part of the address.
    return _plain(written) + (_UNREAD if text.startswith("]", end) else ""), end


def _escaped(text: str, begin: int, end: int, finding: _Finding, element: str, markdown: bool) -> Match:
    """A tag that shows itself. `end` is where its `>` stands, which stays."""
    if finding.type == "EXTERNAL_LOAD" and element == "img":
        return Match(begin, end, "EXTERNAL_IMAGE", CHECK, instead=f"<i>[image removed: {finding.host}]</i")
    if markdown and finding.host:
        return Match(begin, end, finding.type, CHECK, instead=f"<i>[link removed: {finding.host}]</i")
    body = text[begin + 1 : end].replace("=", "&#61;")
    if markdown:
        body = body.replace("[", "&#91;")  # what was quoted in the tag is Markdown now
    return Match(begin, end, finding.type, CHECK, instead="&lt;" + body)


# Terminals.

_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_CONTROLS: Final = re.compile(
    # Sequences with parameters; strings (commands, titles, links, clipboard); two-character ones; single characters.
    "(?:\x1b\\[|\x9b)[0-?]{0,256}[ -/]{0,16}[@-~]"
    "|(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]{0,4096}(?:\x07|\x1b\\\\|\x9c)"
    "|\x1b[ -/]{1,16}[0-~]|\x1b[0-Z\\\\`-~]|\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
)
_CONTROL_OPEN: Final = re.compile(
    "(?:(?:\x1b\\[|\x9b)[0-?]{0,256}[ -/]{0,16}|(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]{0,4096}\x1b?"
    "|\x1b[ -/]{0,16}|\r)\\Z"
)


class _Terminal:
    """Whatever a terminal obeys: only text, tabs and line ends are left."""

    __slots__ = ()

    def find(self, text: str, at: int, ended: bool) -> tuple[Sequence[Match], int]:
        matches: list[Match] = []
        first = _CONTROL.search(text, at)
        while first is not None:
            begin = first.start()
            if not ended and _CONTROL_OPEN.match(text, begin):
                return matches, begin
            control = _CONTROLS.match(text, begin)
            end = begin + 1
            if control is not None:
                end = control.end()
                said = "\n" if text[begin] == "\r" else ""
                matches.append(Match(begin, end, _terminal_type(control.group()), CHECK, instead=said))
            first = _CONTROL.search(text, end)
        return matches, len(text)


def _terminal_type(control: str) -> str:
    if control[0] in "\x1b\x9b\x90\x98\x9d\x9e\x9f":
        return "TERMINAL_SEQUENCE"
    return "OVERWRITE" if control in "\r\b\x7f" else "CONTROL"
