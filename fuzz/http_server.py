"""The listener: any bytes, in any cut, are read alike; and no reader that others wrote frames them otherwise.

The first byte decides the cut. A request that we accept must be the same request to h11 and to llhttp, unless they
refuse it: a message that two readers frame differently is how a request is smuggled.
"""

from __future__ import annotations

from fuzz._http import cut, h11_requests, httptools_requests, run, same, served

_PIPELINE = (
    b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
    b"POST /b?q=1 HTTP/1.1\r\nhost: a:80\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX: y\r\n\r\n"
    b"GET /c HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\n"
)
SEEDS = [
    b"\x01" + _PIPELINE,
    b"\x07GET / HTTP/1.0\r\nHost: a\r\n\r\n",
    b"\x02POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 200\r\n\r\n" + b"x" * 200,
    b"\x03POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"\x04GET //a/%2e%2e HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"\x05POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;\nxx\r\nXX\r\n0\r\n\r\n",
    b"\x06POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n",
    b"\x08GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
    b"\x09PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]


def target(data: bytes) -> None:
    """Raises AssertionError where the reading depends on the cut, or differs from another reader's."""
    seed, data = data[0] if data else 0, data[1:]
    seen, written = run(served([data]))
    seen_cut, written_cut = run(served(cut(data, seed)))
    assert seen == seen_cut, (seen, seen_cut)
    assert statuses(written) == statuses(written_cut), (written, written_cut)
    for ours, theirs in zip(seen, h11_requests(data), strict=False):
        assert ours._replace(headers=same(ours.headers)) == theirs, (ours, theirs)
    for ours, theirs in zip(seen, httptools_requests(data), strict=False):
        assert (ours.method, ours.target, ours.body) == (theirs.method, theirs.target, theirs.body), (ours, theirs)


def statuses(written: bytes) -> list[bytes]:
    """The first line of every answer but 100 (whether it is needed depends on the cut), refusals as one class."""
    lines = [line for line in written.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
    return [b"4xx" if line[9:10] in b"45" else line for line in lines if line[9:12] != b"100"]
