package dev.nibble.gemm;

import dev.nibble.quant.Contraction;
import dev.nibble.tensor.Role;

/** The three products of a linear layer, each {@code D[M,N] = A[M,K] · B[N,K]ᵀ}. */
public enum Product {
    /** Y [tokens, out] = X · Wᵀ. */
    OUTPUT("output", Role.INPUT, Contraction.COLUMNS, Role.WEIGHT, Contraction.COLUMNS),
    /** dX [tokens, in] = dY · W. */
    GRAD_INPUT("gradInput", Role.GRAD_OUTPUT, Contraction.COLUMNS, Role.WEIGHT, Contraction.ROWS),
    /** dW [out, in] = dYᵀ · X. */
    GRAD_WEIGHT("gradWeight", Role.GRAD_OUTPUT, Contraction.ROWS, Role.INPUT, Contraction.ROWS);

    private final String label;
    private final Role roleA;
    private final Contraction contractionA;
    private final Role roleB;
    private final Contraction contractionB;

    Product(String label, Role roleA, Contraction contractionA, Role roleB, Contraction contractionB) {
        this.label = label;
        this.roleA = roleA;
        this.contractionA = contractionA;
        this.roleB = roleB;
        this.contractionB = contractionB;
    }

    /** {@return the name used on the command line and in reports} */
    public String label() {
        return label;
    }

    /** {@return the role of the left operand} */
    public Role roleA() {
        return roleA;
    }

    /** {@return which axis of the left tensor is contracted} */
    public Contraction contractionA() {
        return contractionA;
    }

    /** {@return the role of the right operand} */
    public Role roleB() {
        return roleB;
    }

    /** {@return which axis of the right tensor is contracted} */
    public Contraction contractionB() {
        return contractionB;
    }
}
