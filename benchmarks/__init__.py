"""Speed as ratios taken in one run (``make bench``), and the main job on real data (``make real``).

``make bench SIZE=1m`` runs every bar of the table in docs/performance.md next to its opponent, prints a line for each
as it comes, and writes ``results.md``, ``results.svg`` and the raw figures, ``results.json``, beside this file.

To add measures, write a module with one function and name it in ``subjects.py``::

    def measures(ground: Ground) -> Iterator[Measure]:
        yield Measure(
            id="mail-parts",                     # stable: the key in results.json, and what --only is compared with
            name="a mail's parts / by the standard library",
            bar=faster(10),                      # or at_most(1.3), at_most(0.15, plus=0.18), grows(1.15), or None
            prepare=lambda: _parts(ground),      # a context manager that gives a Pair; nothing of it is timed
            opponent="EmailMessage",
        )

    @contextmanager
    def _parts(ground: Ground) -> Iterator[Pair]:
        ...                                      # set up
        yield Pair(ours=work, opponent=other, check=same)
        ...                                      # clear up

* ``Pair.ours`` and ``Pair.opponent`` are called in turn, ``ROUNDS`` rounds after one that warms up. Each call is timed;
  one that gives a float gives its own figure instead (seconds, or megabytes where the measure's ``unit`` says so).
* ``Pair.check`` comes before the timing and raises ``Mismatch`` where the two do not give the same guests or rows. It
  may call them both. A measure without anything to compare says so in ``Pair.note``.
* ``Pair.restore`` comes after every call and is not timed: both sides must begin from the same state.
* ``Pair.opponent_times``: where the opponent does a sample only, by how much its seconds are multiplied; say so in
  ``Pair.note``.
* The bar is held against the median of the rounds' own ratios: ``at_most`` against it/opponent, ``faster`` against
  opponent/it, ``grows`` against the exponent where the opponent has a tenth of the size.
* Databases are ``ground.world(name)``, for each name in ``ground.databases``: a ``home``, and a migrated ``db`` with
  the crowd of ``crowd.py`` in it and facts at ``AS_OF``. They are made when first asked for, so ask in ``prepare``
  only, and they are kept between runs: roll back what you write, or take ``with world.copy() as mine``, which is
  thrown away. ``ground.size`` is the number of guests asked for; ``ground.world(name, size)`` gives another size.
* Raise ``Skipped("why")`` in ``prepare`` where the machine lacks what it needs: the line is told of, not hidden.
  ``ground.server()`` does so where there is no PostgreSQL.
"""
