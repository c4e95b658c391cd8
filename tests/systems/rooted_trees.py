"""Rooted trees and Butcher's order conditions, generated from the definitions (HNW II.2).

A tree is the sorted tuple of the subtrees that hang on its root; the single node is `()`. A Runge-Kutta method (A, b)
has order p exactly if Φ(t) = 1/γ(t) for every tree t of at most p nodes.
"""

from __future__ import annotations

from functools import cache
from math import factorial, prod

import numpy as np

Tree = tuple["Tree", ...]
LEAF: Tree = ()


@cache
def trees(nodes: int) -> tuple[Tree, ...]:
    """All rooted trees with so many nodes, each once: a root over every multiset of trees with nodes - 1 in all."""
    return tuple(sorted({tuple(sorted(forest)) for forest in _forests(nodes - 1)}))


@cache
def _forests(nodes: int) -> tuple[Tree, ...]:
    """The multisets of trees with so many nodes in all, some of them several times, in other orders."""
    if nodes == 0:
        return ((),)
    return tuple(
        (first, *rest) for size in range(1, nodes + 1) for first in trees(size) for rest in _forests(nodes - size)
    )


def size(tree: Tree) -> int:
    """The number of nodes."""
    return 1 + sum(map(size, tree))


def density(tree: Tree) -> int:
    """γ(t) = |t| Π γ(subtree)."""
    return size(tree) * prod(map(density, tree))


def symmetry(tree: Tree) -> int:
    """σ(t): how many ways there are to map the tree to itself."""
    return prod(factorial(tree.count(s)) * symmetry(s) ** tree.count(s) for s in set(tree))


def elementary_weight(tree: Tree, A: np.ndarray, b: np.ndarray) -> float:
    """Φ(t) = Σ_i b_i Π_subtrees (A g(subtree))_i."""
    return float(b @ _stages(tree, A))


def _stages(tree: Tree, A: np.ndarray) -> np.ndarray:
    """g(t), a number a stage: 1 for the leaf, the product of A g(subtree) over the subtrees otherwise."""
    return np.prod([np.ones(len(A)), *(A @ _stages(subtree, A) for subtree in tree)], axis=0)


def order_defect(A: np.ndarray, b: np.ndarray, order: int) -> float:
    """The largest |Φ(t) - 1/γ(t)| over the trees with exactly `order` nodes."""
    return max(abs(elementary_weight(t, A, b) - 1 / density(t)) for t in trees(order))
