"""Networks with anti-Hermitian weights: reversible schemes, their exact reversal, and their linear limits.

The data flow: `schemes` (data) -> `stretch` (the loops) -> `couplings` (a sequence, its gradient, its reversal) ->
`network`.
"""
