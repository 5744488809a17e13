"""Entry point of the image: `sekimori` with the given words, but never as root and never without a home.

A home is made by `init` and by nothing else: one that appeared by itself, because a volume was not mounted, would serve
an empty policy and write a record that is gone with the container.
"""

from __future__ import annotations

import os
import sys

from sekimori import config
from sekimori.cli import main

NO_HOME = """\
sekimori: There is no home at {home}.
  Mount a volume at {volume} that belongs to the user {user}, and make the home in it, once:
    run this image with the words: init --name gateway.example.com
  The name is a DNS name of your choice; it names the logs and can never be changed.
"""


def enter(words: list[str]) -> None:
    """Run one command. Does not return."""
    if os.geteuid() == 0:
        sys.stderr.write("sekimori: This does not run as root.\n  Run the image as its own user, 10001.\n")
        sys.exit(2)
    home = config.default_home()
    if words[:1] == ["serve"] and not home.exists():
        sys.stderr.write(NO_HOME.format(home=home, volume=home.parent, user=os.geteuid()))
        sys.exit(1)
    main(words)


if __name__ == "__main__":
    enter(sys.argv[1:])
