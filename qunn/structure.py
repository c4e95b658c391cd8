"""What follows from the coefficients of Eqs. (2)-(4) without evaluating them: sizes, order of evaluation, n and t."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

from hamiltonians.errors import must_be
from qunn.coefficients import Coefficient, coefficient, vector
from qunn.sequence import check_size


@final
class Structure:
    """The table of coefficients by name, and everything that follows from which of them are zero.

    Names are W_1 … W_{n+1}, b_q, V_q, gamma_q, kappa_q, alpha_q_k (or a_q_k), beta_k. A missing one is zero (κ: one).

    Attributes
    ----------
    slots : name -> Coefficient.
    inner, sizes : what σ_q acts on, and the size of K_q, for q = 1 … n + 1.
    delays : t_{q-1} for stage q, and t_{n-1} for the output (spec, section 1).
    blocks : [first, last) stages that must be solved together, in order, and whether they are implicit.
    """

    def __init__(self, n: int, t: int, lists: Mapping[str, Any], state_size: int | None, input_size: int) -> None:
        self.n = n
        self.delays = [t * q // n for q in range(n)] + [t * (n - 1) // n]
        self.inside = lists["a"] is not None
        if self.inside and lists["alpha"] is not None:
            raise must_be("a", "left out where `alpha` is given: it means α_qk = W_q a_qk", "given")
        self.slots: dict[str, Coefficient] = {}
        for family in ("W", "b", "V", "gamma", "kappa"):
            self._fill(family, _listed(lists[family], n + 1, family))
        name = "a" if self.inside else "alpha"
        for q, row in enumerate(_listed(lists[name], n, name), 1):
            self._fill(f"{name}_{q}", _listed(row, n, f"{name}[{q}]"))
        self._fill("beta", _listed(lists["beta"], n, "beta"))
        self._check(lists, input_size)
        self.state_size = self._state_size(state_size)
        self.inner: list[int] = []
        self.sizes: list[int] = []
        for q in range(1, n + 2):
            self._size_stage(q)
        self._check_couplings()
        self.blocks = self._blocks()

    def _fill(self, family: str, entries: Sequence[Any]) -> None:
        for q, entry in enumerate(entries, 1):
            name = f"{family}_{q}"
            made = vector(entry, name) if family == "b" else coefficient(entry, name)
            if made is not None:
                self.slots[name] = made

    def _check(self, lists: Mapping[str, Any], input_size: int) -> None:
        if "gamma_1" in self.slots:
            raise must_be("gamma_1", "0: there is no K_0", lists["gamma"][0])
        for q in range(1, self.n + 2):
            if lists["kappa"] is not None and lists["kappa"][q - 1] is not None and f"kappa_{q}" not in self.slots:
                raise must_be(f"kappa_{q}", "other than 0: such a stage would vanish", 0)
            V = self.slots.get(f"V_{q}")
            if V is not None and (V.kind != "full" or V.shape[1] != input_size or V.moving):
                raise must_be(f"V_{q}", f"a constant matrix of {input_size} columns, as x", V.shape)

    def _state_size(self, given: int | None) -> int:
        if given is not None:
            check_size("state_size", given)
            return given
        for q in range(1, self.n + 2):
            W = self.slots.get(f"W_{q}")
            if W is not None and W.shape:
                return W.shape[-1]
        raise must_be("state_size", "given where no W_q is a vector or a matrix", None)

    def _size_stage(self, q: int) -> None:
        inner = self._inner_size(q)
        kappa, gamma = self.slots.get(f"kappa_{q}"), self.slots.get(f"gamma_{q}")
        size = inner if kappa is None else kappa.rows(inner, f"kappa_{q}")
        if gamma is not None:
            carried = self.state_size if q == self.n + 1 else self.sizes[q - 2]
            if gamma.rows(carried, f"gamma_{q}") != size:
                raise must_be(f"gamma_{q}", f"of {size} rows, as what it is added to", gamma.shape or carried)
        if q == self.n + 1 and size != self.state_size:
            raise must_be(f"the right side of Eq. (4), q = {q},", f"of size {self.state_size}, as Y", size)
        self.inner.append(inner)
        self.sizes.append(size)

    def _inner_size(self, q: int) -> int:
        """What σ_q acts on: whatever its parts have in common."""
        known: list[tuple[str, int]] = []
        for family in ("W", "b", "V"):
            name = f"{family}_{q}"
            slot = self.slots.get(name)
            if slot is not None:
                known.append((name, slot.rows(self.state_size, name) if family == "W" else slot.shape[0]))
        if not self._summed_inside(q):
            known += [(name, slot.shape[0]) for _, name, slot in self.couplings(q) if slot.shape]
            known += [(name, self.sizes[k]) for k, name, slot in self.couplings(q) if not slot.shape and k < q - 1]
        kappa = self.slots.get(f"kappa_{q}")
        if kappa is not None and kappa.shape:
            known.append((f"kappa_{q}", kappa.shape[-1]))
        for name, size in known[1:]:
            if size != known[0][1]:
                raise must_be(name, f"of {known[0][1]} rows, as {known[0][0]}", size)
        return known[0][1] if known else self.state_size

    def _summed_inside(self, q: int) -> bool:
        return self.inside and q <= self.n

    def _check_couplings(self) -> None:
        for q in range(1, self.n + 2):
            wanted = self.state_size if self._summed_inside(q) else self.inner[q - 1]
            for k, name, slot in self.couplings(q):
                if slot.rows(self.sizes[k], name) != wanted:
                    raise must_be(name, f"of {wanted} rows", slot.shape or self.sizes[k])

    def couplings(self, q: int) -> list[tuple[int, str, Coefficient]]:
        """(k - 1, name, coefficient) of every K_k that stage q uses; the β_k for q = n + 1."""
        family = "beta" if q == self.n + 1 else f"{'a' if self.inside else 'alpha'}_{q}"
        named = ((k, f"{family}_{k + 1}") for k in range(self.n))
        return [(k, name, self.slots[name]) for k, name in named if name in self.slots]

    def needs(self, q: int) -> set[int]:
        """The stages, counted from 0, whose K enter stage q, counted from 1."""
        uses = {k for k, _, _ in self.couplings(q)}
        if self._summed_inside(q) and f"W_{q}" not in self.slots:
            uses = set()  # the sum stands inside a W_q that is zero
        return uses | ({q - 2} if 1 < q <= self.n and f"gamma_{q}" in self.slots else set())

    def _blocks(self) -> list[tuple[int, int, bool]]:
        blocks: list[tuple[int, int, bool]] = []
        first, reach, implicit = 0, 0, False
        for q in range(self.n):
            ahead = max(self.needs(q + 1), default=-1)
            implicit |= ahead >= q
            reach = max(reach, ahead, q)
            if reach == q:
                blocks.append((first, q + 1, implicit))
                first, reach, implicit = q + 1, q + 1, False
        return blocks

    def reached_stages(self) -> int:
        """Stages from which a chain of coefficients leads to Y_{l+1}: the n of the network as it is built."""
        reached: set[int] = set()
        fresh = self.needs(self.n + 1)
        while fresh:
            reached |= fresh
            fresh = set().union(*(self.needs(q + 1) for q in fresh)) - reached
        return len(reached)

    def memory(self) -> int:
        """1 + the longest delay of a W_q that is there: the t of the network as it is built."""
        return 1 + max((d for q, d in enumerate(self.delays, 1) if f"W_{q}" in self.slots), default=0)


def _listed(given: Any, length: int, name: str) -> Sequence[Any]:
    if given is None:
        return [None] * length
    if not isinstance(given, list | tuple) or len(given) != length:
        found = f"{len(given)} entries" if isinstance(given, list | tuple) else type(given).__name__
        raise must_be(name, f"a list of {length} entries", found)
    return given
