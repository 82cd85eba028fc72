"""Functional ANOVA of a random forest: what each factor, and each pair of factors, explains of an outcome."""

import itertools

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestRegressor

TREES = 64


class ForestAnova:
    """Functional ANOVA (Hutter, Hoos and Leyton-Brown 2014) of a random forest over factors with a few levels each.

    Every level of a factor counts alike, and the factors count as independent. A tree is constant on boxes of levels,
    so that its averages are exact sums over its leaves. Where all factors are numbers, the main effects are those of
    Optuna's `FanovaImportanceEvaluator`, which has no pairs.
    """

    def __init__(self, codes, levels, values, seed=0, trees=TREES, leaf=1):
        """codes: (n, factors) table of levels, from 0. levels: the names of each factor's. values: (n,) explained.
        leaf: the least number of values in a leaf."""
        self.names, sizes = list(codes.columns), [len(levels[name]) for name in codes.columns]
        self.ends = np.cumsum([0, *sizes])
        forest = RandomForestRegressor(trees, max_depth=64, min_samples_leaf=leaf, random_state=seed, n_jobs=1)
        forest.fit(codes.to_numpy(float), np.asarray(values, float))
        self.trees = [self._averages(*_leaves(tree.tree_, sizes)) for tree in forest.estimators_]

    def _averages(self, values, inside):
        """Of one tree: its variance, the average at each level, and at each two levels of different factors. Levels of
        all factors are columns beside each other."""
        shares = np.stack([held.mean(axis=1) for held in inside], axis=1)
        weights = shares.prod(axis=1)
        at_level = np.hstack([held / shares[:, [k]] for k, held in enumerate(inside)])
        weighted = (values * weights)[:, None] * at_level
        variance = ((values - values @ weights) ** 2) @ weights
        return variance, weighted.sum(axis=0), at_level.T @ weighted

    def main_effects(self):
        """Share of a tree's variance that a factor explains by itself, mean over the trees: a Series."""
        return pd.Series(np.mean([self._mains(*tree) for tree in self.trees], axis=0), self.names)

    def _mains(self, variance, single, _):
        return np.array([np.var(part) for part in np.split(single, self.ends[1:-1])]) / (variance or np.inf)

    def pair_effects(self):
        """Share that a pair explains beyond its two main effects, mean over the trees: a Series by (one, other)."""
        pairs = list(itertools.combinations(range(len(self.names)), 2))
        total = np.zeros(len(pairs))
        for variance, single, double in self.trees:
            mains = self._mains(variance, single, double)
            for place, (a, b) in enumerate(pairs):
                joint = double[self.ends[a] : self.ends[a + 1], self.ends[b] : self.ends[b + 1]]
                total[place] += max(joint.var() / (variance or np.inf) - mains[a] - mains[b], 0.0)
        named = pd.MultiIndex.from_tuples([(self.names[a], self.names[b]) for a, b in pairs])
        return pd.Series(total / len(self.trees), named)

    def dependence(self, name):
        """The prediction at each level of a factor, averaged over all others: (levels,)."""
        place = self.names.index(name)
        return np.mean([single[self.ends[place] : self.ends[place + 1]] for _, single, _ in self.trees], axis=0)


def _leaves(tree, sizes):
    """A tree's leaves: (leaves,) values, and for each factor (leaves, levels) whether the leaf holds that level."""
    values, inside = [], []

    def descend(node, held):
        if tree.children_left[node] < 0:
            values.append(tree.value[node].item())
            inside.append(held)
            return
        factor, below = tree.feature[node], np.arange(sizes[tree.feature[node]]) <= tree.threshold[node]
        for child, part in ((tree.children_left[node], below), (tree.children_right[node], ~below)):
            descend(child, [*held[:factor], held[factor] & part, *held[factor + 1 :]])

    descend(0, [np.ones(size, bool) for size in sizes])
    return np.array(values), [np.array([leaf[k] for leaf in inside], float) for k in range(len(sizes))]
