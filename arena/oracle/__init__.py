"""The metered, filtered view of a defense that an attack plays against.

By topic: how a request is answered (:mod:`~arena.oracle.answering`), what it costs
(:mod:`~arena.oracle.meter`), what a reply shows (:mod:`~arena.oracle.replies`), what the referee
notes of the attack (:mod:`~arena.oracle.record`), and the answers and gradients that it keeps to
ask again (:mod:`~arena.oracle.sample`, :mod:`~arena.oracle.slopes`).
"""

from arena.oracle.answering import Maker, Oracle, Owners, SeedSource, Success
from arena.oracle.meter import Meter
from arena.oracle.record import Record
from arena.oracle.replies import labels_shown
from arena.oracle.sample import SAMPLED, Heard, Sample
from arena.oracle.slopes import Slope, Slopes

__all__ = ["SAMPLED", "Heard", "Maker", "Meter", "Oracle", "Owners", "Record", "Sample",
           "SeedSource", "Slope", "Slopes", "Success", "labels_shown"]  # fmt: skip
