"""The caller: any bytes of a provider, in any cut, are read alike; and h11 does not read another answer in them.

The first byte decides the cut and the method. What is kept for the next call ended exactly where the bytes ended.
"""

from __future__ import annotations

from fuzz._http import called, cut, h11_response, run, same

_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
SEEDS = [
    b"\x01HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"\x02HTTP/1.1 100 Continue\r\n\r\n" + _CHUNKED + b"5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
    b"\x03HTTP/1.0 200 OK\r\n\r\nhello",
    b"\x04HTTP/1.1 204 No Content\r\n\r\n",
    b"\x05HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\n",
    b"\x06HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"\x07HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n",
    b"\x08HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    b"\x09" + _CHUNKED + b"5\nhello\r\n0\r\n\r\n",
]


def target(data: bytes) -> None:
    """Raises AssertionError where the reading depends on the cut, or differs from h11's."""
    seed, data = data[0] if data else 0, data[1:]
    method = "HEAD" if seed & 0x80 else "POST"
    got, kept, failed = run(called([data], method))
    got_cut, kept_cut, failed_cut = run(called(cut(data, seed), method))
    assert (got, kept) == (got_cut, kept_cut), (got, got_cut, failed, failed_cut)
    if got is None:
        return
    theirs = h11_response(data, method)
    assert theirs is None or theirs == got._replace(headers=same(got.headers)), (got, theirs)
    if kept:
        # One byte less is not the whole answer, and one byte more is no answer that is left behind.
        assert not run(called([data[:-1]], method))[1]
        assert run(called([data + b"x"], method))[1] is False
