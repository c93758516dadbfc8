"""
number = 36
name = "A header that claims four thousand million rows"
roles = ["attack", "defense"]
stopped_by = ["frames"]
ends = "wrong_shape"
checks = ["referee_stays_small"]
"""

from hostile import HonestAttack, HonestDefense, frame, request, say, send, wait

from arena.wire import Op

ROWS = 2**32 - 1


class Attack(HonestAttack):
    def attack(self, challenge):
        say("TRIED")
        shape = (ROWS, *challenge.x.shape[1:])
        send(frame(Op.CANDIDATES, request(), arrays=((1, shape),)) + bytes(2**16))
        wait()


class Defense(HonestDefense):
    def predict(self, x):
        say("TRIED")
        send(frame(Op.SCORES, request(), arrays=((1, (ROWS, 10)),)) + bytes(2**16))
        wait()
