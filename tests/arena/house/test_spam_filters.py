"""The house's linear spam filters, against scikit-learn and against theory."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from arena import tasks
from arena.house import naive_bayes, recipes, train
from arena.house.objectives import Step, word_insertion


def test_naive_bayes_says_what_scikit_learn_says() -> None:
    from sklearn.naive_bayes import BernoulliNB

    task = tasks.load("spamassassin-words")
    model = nn.Sequential(nn.Flatten(), nn.Linear(1500, 2)).double()
    naive_bayes.fill(model, torch.tensor(task.train.x), torch.tensor(task.train.y))
    peer = BernoulliNB().fit(task.train.x, task.train.y)
    some = task.practice.x[:300]
    with torch.no_grad():
        ours = torch.log_softmax(model(torch.tensor(some).double()), 1).numpy()
    np.testing.assert_allclose(ours, peer.predict_log_proba(some), atol=1e-6)


def test_word_insertion_finds_the_worst_of_all_choices() -> None:
    """Two of ten words: the loss of the worst pair, found by trying all of them."""
    recipe = recipes.find("word-insertion-training-spamassassin-words")
    recipe = train.replace(recipe, weight=2)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(10, 2))
    ham, spam = torch.zeros(1, 10), torch.zeros(1, 10)
    spam[0, :4] = 1
    y = torch.tensor([0, 1])
    generator = torch.Generator().manual_seed(0)
    found = word_insertion(Step(model, torch.cat([ham, spam]), y, recipe, 0.5, generator))
    worst = -np.inf
    for chosen in itertools.chain([()], *(itertools.combinations(range(10), n) for n in (1, 2))):
        added = spam.clone()
        added[0, list(chosen)] = 1
        loss = functional.cross_entropy(model(torch.cat([ham, added])), y).item()
        worst = max(worst, loss)
    assert found.item() == pytest.approx(worst, rel=1e-5)
