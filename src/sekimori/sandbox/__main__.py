"""`python -m sekimori.sandbox --port N`: serve the practice provider until interrupted."""

from __future__ import annotations

import argparse
import asyncio

from sekimori.sandbox.app import run

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m sekimori.sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8089, help="port to listen on (default 8089)")
    options = parser.parse_args()
    asyncio.run(run(options.host, options.port))
