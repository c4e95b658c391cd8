// Three qubits in a Greenberger-Horne-Zeilinger state with a phase: three gates, T = 4 with the last rotation.
OPENQASM 3.0;
include "stdgates.inc";
qubit[3] q;
h q[0];
cx q[0], q[1];
cx q[1], q[2];
rz(pi/5) q[2];
