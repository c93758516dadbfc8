"""Plays by the rules, and looks for what the players before it left."""

from hostile import HonestAttack as Attack
from hostile import HonestDefense as Defense

__all__ = ["Attack", "Defense"]
