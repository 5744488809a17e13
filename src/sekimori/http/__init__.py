"""The HTTP/1.1 edge, both ways: one strict reading of the wire, bounded in bytes and in time.

`framing` is pure and says what the bytes mean; `server` and `client` move them; `limits` bounds both; `tls` makes the
contexts; `asgi` carries the control application. What is ambiguous on the wire is refused, never repaired: a message
that two readers could frame differently is how requests are smuggled past the one that decides.
"""
