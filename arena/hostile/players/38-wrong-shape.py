"""
number = 38
name = "Another shape and type than was asked for"
roles = ["attack", "defense"]
stopped_by = ["frames"]
ends = "wrong_shape"
"""

from hostile import HonestAttack, HonestDefense, frame, request, say, send, wait

from arena.wire import Op


class Attack(HonestAttack):
    """Right number of bytes, as another type: float64 with half of the rows."""

    def attack(self, challenge):
        say("TRIED")
        half = (len(challenge.x) // 2, *challenge.x.shape[1:])
        send(frame(Op.CANDIDATES, request(), arrays=((6, half),)) + challenge.x.tobytes())
        wait()


class Defense(HonestDefense):
    def predict(self, x):
        say("TRIED")
        return super().predict(x)[:, :3]
