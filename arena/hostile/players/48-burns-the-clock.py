"""
number = 48
name = "An attack that asks until the defense's clock is run out"
roles = ["attack"]
stopped_by = ["clock", "referee"]
ends = "scored"
queries = 1000000
attack_limits = { wall_seconds = 60 }
defense_limits = { wall_seconds = 0.2 }
"""

from hostile import HonestAttack, say

from arena.errors import QueryBudgetExceeded


class Attack(HonestAttack):
    def attack(self, challenge):
        say("TRIED")
        try:
            while True:  # until its own clock ends it, which would be its fault
                challenge.defense.ask(challenge.x)
        except QueryBudgetExceeded:
            pass
        return challenge.x
