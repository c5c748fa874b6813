"""Makes workers to be killed. It has imported, read and compiled everything, and forks a child that waits at a gate.

`python maker.py URL ROOT`; a command a line: `play SCENE` reads the home and does the task once to warm up, `fork` says the
child's number, `go NUMBER` lets it go, `wait NUMBER` and `wait any` say `NUMBER STATUS`.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from engine.database.engines import open_db
from faults.scenes import SCENES, read


class Maker:
    def __init__(self, url: str, root: Path) -> None:
        self.db = open_db(url)
        self.root = root
        self.gates: dict[int, int] = {}

    def play(self, scene: str) -> str:
        self.scene, self.home = SCENES[scene], read(self.root)
        self.scene.task(self.db, self.home)  # imports and compiled statements are inherited by every child
        self.db.dispose()
        gc.collect()
        gc.freeze()
        return "ready"

    def fork(self, _: str) -> str:
        gate, opener = os.pipe()
        child = os.fork()
        if child == 0:
            self._work(gate)
        os.close(gate)
        self.gates[child] = opener
        return str(child)

    def _work(self, gate: int) -> None:
        status = 1
        try:
            gc.disable()  # the same calls of the system in every child
            os.read(gate, 1)
            self.scene.task(self.db, self.home)
            status = 0
        except BaseException:  # noqa: BLE001 (shown, and told by the status)
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def go(self, number: str) -> str:
        opener = self.gates.pop(int(number))
        with contextlib.suppress(BrokenPipeError):  # killed at the gate
            os.write(opener, b"!")
        os.close(opener)
        return "gone"

    def wait(self, number: str) -> str:
        child, status = os.waitpid(-1 if number == "any" else int(number), 0)
        if child in self.gates:
            os.close(self.gates.pop(child))
        return f"{child} {os.waitstatus_to_exitcode(status)}"


def main(url: str, root: str) -> None:
    maker = Maker(url, Path(root))
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        sys.stdout.write(getattr(maker, command)(argument) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
