"""What every key of the report means: formula, equation of the paper, erratum. Printed by `--explain KEY`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Explanation:
    """One key: what it is, its formula, where it comes from, and what the paper has wrong about it (E1 … E17)."""

    meaning: str
    formula: str = ""
    source: str = ""
    erratum: str = ""


_HISTORY = "|ψ0> = (T+1)^(-1/2) ( |r_1>⊗|1> + Σ_j |w_j>⊗|j+1> )"
_APPENDIX = "Appendix A"
_PAGE = "docs/mathematics/clock-hamiltonian.md"

EXPLANATIONS: Mapping[str, Explanation] = MappingProxyType(
    {
        "machine": Explanation("the machine's name"),
        "input": Explanation("the word on the tape at clock 1; null where H holds several inputs at once"),
        "space": Explanation(
            "which data space H acts on: `configuration` (whole configurations), `tape` (the symbol under the head), "
            "`function` (all inputs of one length)",
            "U_j = |w_j><r_j| on it",
            f"Eqs. (37)-(39), {_APPENDIX}; {_PAGE}",
            "E12: |w><r| is a partial isometry; U_j⊗|j+1><j| is never unitary",
        ),
        "steps": Explanation(
            "T, the transitions until no rule applies, the halting one included", source="the paper's L_c"
        ),
        "clock_states": Explanation("N = T + 1 clock states", "N = T + 1", _APPENDIX),
        "data_dimension": Explanation("d, the dimension of the data space; an exact integer"),
        "dimension": Explanation("rows of H: an exact integer", "d·(T+1)", _APPENDIX),
        "ground_energy": Explanation(
            "energy of ψ as a sum of squares, which keeps its digits near zero",
            "‖Bψ‖², H = B†B; B stacks U_jψ_j - ψ_{j+1} and (I - U_j†U_j)^(1/2) ψ_j",
            "the H_TM before Eq. (40)",
            "E11: the eigenvalues of a Hermitian matrix are real; those of -iH are imaginary",
        ),
        "residual": Explanation("how well ψ is an eigenvector, over the whole space, ‖ψ‖ = 1", "‖Hψ - Eψ‖"),
        "degeneracy": Explanation("dimension of the whole ground space, from H's structure, also above k"),
        "degeneracy_predicted": Explanation(
            "what the theory predicts: 1 in `configuration`, |Σ|^(cells never read) in `tape`, "
            "one an input in `function` (1 with H_in)",
            source=_PAGE,
            erratum="the paper's `unique` holds in the literal reading, `configuration`",
        ),
        "energies": Explanation("the k lowest energies of the whole space, with multiplicity"),
        "energies_closed_form": Explanation(
            "the same by the formulas for paths, from the census of components",
            "2-2cos(πi/m), 2-2cos((2i-1)π/(2m+1)), 2-2cos(iπ/(m+1)) for paths of m rows with 0, 1, 2 broken ends",
            _PAGE,
        ),
        "gap": Explanation(
            "the lowest energy above the ground space in the whole space, computed from H", source=_APPENDIX
        ),
        "gap_closed_form": Explanation(
            "the formula for the gap, beside the computed number",
            "min(2-2cos(π/(T+1)), 1); with H_in and several inputs 2-2cos(π/(2T+3)); in `tape` that of the lowest path",
            _PAGE,
        ),
        "gap_history_path": Explanation("the gap of the history's own path", "2 - 2cos(π/(T+1))", _PAGE),
        "gap_component": Explanation("the connected component whose energy the gap is"),
        "history_overlap": Explanation(
            "the part of the history state that lies in the ground space: 1 when Theorem 5 holds",
            f"‖P ψ0‖², {_HISTORY}",
            "Eq. (40)",
            "E9: Eq. (40) drops the initial term and normalises by T",
        ),
        "printed_eq40_energy": Explanation(
            "energy of the state that Eq. (40) prints: not zero",
            "‖Bφ‖², φ = T^(-1/2) Σ_j |w_j>⊗|j+1>",
            "Eq. (40)",
            "E9: its energy is 1/T",
        ),
        "printed_eq40_closed_form": Explanation("the formula for it, beside the computed number", "1/T", "E9"),
        "output": Explanation(
            "the tape read from ψ: of the likeliest data state on the last clock state, from the first to the last "
            "non-blank cell; a table {input: output} in `function` space",
            "<T+1|ψ>",
            _APPENDIX,
            "E10: the output sits on clock |T+1>, not on |L_c>",
        ),
        "machine_output": Explanation("the tape that the machine itself left"),
        "final_state": Explanation("the state in which no rule applied"),
        "accepted": Explanation("whether that state is final; elsewhere the machine is stuck"),
        "solver": Explanation("the method that found the eigenpairs, and whether `auto` chose it"),
        "solver_message": Explanation("what the method did"),
        "rows_of_ground_state": Explanation("rows in which ψ is not zero"),
        "first_bad_step": Explanation(
            "the step j at which ψ leaves the null space of B, or null where it does not",
            "the largest term of ‖Bψ‖² = Σ_j ‖U_jψ_j - ψ_{j+1}‖² + …",
        ),
        "checks": Explanation("the lines of the certificate: what was found, what was expected, whether it passed"),
        "verified": Explanation("whether every check passed"),
        "seconds": Explanation("wall-clock time of the whole command"),
    }
)
