"""Makes workers to be killed: forks one for each line on its input, says its number, and lets it go at the next line.

Forked, because what takes a second is importing; each child is a process of its own with a database of its own.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from connectors.smtp import SmtpConnector
from dispatch.world import Cafe, Clock, a_desk, a_home, a_rule
from engine.database.engines import open_db
from engine.dispatch.stages import send_due


class AnyRule(dict):
    def __missing__(self, key):
        return a_rule()


def work(url: str, root: Path, port: int) -> None:
    cafe = Cafe(open_db(url), rules=AnyRule())
    mail = SmtpConnector("127.0.0.1", port, tls="none", connections=3)
    send_due(a_desk(cafe, a_home(root), Clock(), email=mail))


def main(url: str, root: str, port: str) -> None:
    for _ in sys.stdin:
        gate, opener = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.read(gate, 1)
                work(url, Path(root), int(port))
                status = 0
            except Exception:  # noqa: BLE001 (shown, and told by the status)
                traceback.print_exc()
            finally:
                os._exit(status)
        tell(child)
        sys.stdin.readline()
        os.write(opener, b"!")
        tell(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def tell(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
