"""Functional ANOVA of a random forest: what each factor, and each pair of factors, explains of an outcome.

Every level of a factor counts alike, and the factors count as independent. A tree is constant on boxes of levels, so
that its averages are exact sums over its leaves. Where all factors are numbers, the main effects are those of Optuna's
`FanovaImportanceEvaluator`, which has no pairs.

References
----------
Hutter, Hoos and Leyton-Brown (2014).
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.ensemble import RandomForestRegressor

Numbers = NDArray[np.float64]

TREES = 64


class TreeAverages(NamedTuple):
    """Averages of one tree over the grid of all levels; levels of all factors stand beside each other.

    Parameters
    ----------
    variance
        Of the tree's prediction.
    single
        (levels,) prediction at each level, averaged over all other factors.
    double
        (levels, levels) prediction at each two levels of different factors.
    """

    variance: float
    single: Numbers
    double: Numbers


class ForestAnova:
    """Functional ANOVA of a random forest over factors with a few levels each.

    Parameters
    ----------
    codes
        (n, factors) levels, from 0.
    levels
        Factor to the names of its levels.
    values
        (n,) what is explained.
    seed
        Of the forest.
    trees
        How many it has.
    leaf
        The least number of values in a leaf.
    """

    def __init__(
        self,
        codes: pd.DataFrame,
        levels: Mapping[str, Sequence[Any]],
        values: ArrayLike,
        seed: int = 0,
        trees: int = TREES,
        leaf: int = 1,
    ) -> None:
        self.names, sizes = list(codes.columns), [len(levels[name]) for name in codes.columns]
        self.ends = np.cumsum([0, *sizes])
        forest = RandomForestRegressor(trees, max_depth=64, min_samples_leaf=leaf, random_state=seed, n_jobs=1)
        forest.fit(codes.to_numpy(float), np.asarray(values, float))
        self.trees = [_averages(*_leaves(tree.tree_, sizes)) for tree in forest.estimators_]

    def main_effects(self) -> pd.Series:
        """Give the share of a tree's variance that each factor explains by itself, averaged over the trees."""
        return pd.Series(np.mean([self._mains(tree) for tree in self.trees], axis=0), self.names)

    def _mains(self, tree: TreeAverages) -> Numbers:
        parts = np.split(tree.single, self.ends[1:-1])
        return np.array([np.var(part) for part in parts]) / (tree.variance or np.inf)

    def pair_effects(self) -> pd.Series:
        """Give the share that each pair of factors explains beyond its main effects, averaged over the trees."""
        pairs = list(combinations(range(len(self.names)), 2))
        total = np.zeros(len(pairs))
        for tree in self.trees:
            mains = self._mains(tree)
            for place, (a, b) in enumerate(pairs):
                joint = tree.double[self.ends[a] : self.ends[a + 1], self.ends[b] : self.ends[b + 1]]
                total[place] += max(joint.var() / (tree.variance or np.inf) - mains[a] - mains[b], 0.0)
        return pd.Series(total / len(self.trees), pd.MultiIndex.from_tuples(list(combinations(self.names, 2))))

    def dependence(self, name: str) -> Numbers:
        """Give the (levels,) prediction at each level of a factor, averaged over all others and over the trees."""
        place = self.names.index(name)
        parts = [tree.single[self.ends[place] : self.ends[place + 1]] for tree in self.trees]
        return np.asarray(np.mean(parts, axis=0))


def _averages(values: Numbers, inside: list[Numbers]) -> TreeAverages:
    """Average a tree over the grid.

    Parameters
    ----------
    values
        (leaves,) prediction of each leaf.
    inside
        Of each factor (leaves, levels): 1 where the leaf holds the level, else 0.
    """
    shares = np.stack([held.mean(axis=1) for held in inside], axis=1)
    weights = shares.prod(axis=1)
    at_level = np.hstack([held / shares[:, [k]] for k, held in enumerate(inside)])
    weighted = (values * weights)[:, None] * at_level
    variance = ((values - values @ weights) ** 2) @ weights
    return TreeAverages(variance, weighted.sum(axis=0), at_level.T @ weighted)


def _leaves(tree: Any, sizes: list[int]) -> tuple[Numbers, list[Numbers]]:
    """Read a fitted tree's leaves, as `_averages` takes them."""
    values: list[float] = []
    inside: list[list[NDArray[np.bool_]]] = []

    def descend(node: int, held: list[NDArray[np.bool_]]) -> None:
        if tree.children_left[node] < 0:
            values.append(tree.value[node].item())
            inside.append(held)
            return
        factor = tree.feature[node]
        below = np.arange(sizes[factor]) <= tree.threshold[node]
        for child, part in ((tree.children_left[node], below), (tree.children_right[node], ~below)):
            descend(child, [*held[:factor], held[factor] & part, *held[factor + 1 :]])

    descend(0, [np.ones(size, bool) for size in sizes])
    return np.array(values), [np.array([leaf[k] for leaf in inside], float) for k in range(len(sizes))]
