package dev.nibble.backend.cuda;

import dev.nibble.quant.HadamardSearch;
import dev.nibble.quant.StraightThrough;
import dev.nibble.quant.Transform;
import dev.nibble.reference.OperandChecks;
import dev.nibble.reference.ReferenceLearnedStep;
import dev.nibble.spi.DeviceState;

/** Learned steps on the device, bit-equal to {@code ReferenceLearnedStep}: learned_step.cu. */
final class CudaLearnedStep {
    private static final String FILE = "learned_step";
    private static final int FINISH_BLOCK = 1024; // threads of what adds the sums of rows
    private static final int HALF_WARPS = QuantizeKernels.BLOCK / 16; // rows that a block takes at once
    private static final int CHUNK = 4096; // elements of a block of the transform

    private final QuantizeKernels kernels;
    private final CudaRuntime runtime;
    private final CudaTransforms transforms;

    CudaLearnedStep(QuantizeKernels kernels, CudaTransforms transforms) {
        this.kernels = kernels;
        this.runtime = kernels.runtime();
        this.transforms = transforms;
    }

    void straightThrough(StraightThrough clip, DeviceMatrix gradient, DeviceMatrix x, DeviceState state) {
        OperandChecks.requireMatrix("gradient", gradient.tensor(), x.rows(), x.cols());
        boolean plain = clip.transform() instanceof Transform.Identity;
        try (CudaTensor transformed = runtime.memory().scratch("transformed", plain ? 0 : x.elements() * Float.BYTES);
                CudaTensor sums = runtime.memory().scratch("row sums", x.rows() * Float.BYTES)) {
            if (!plain) {
                transforms.apply(clip.transform(), x, state, transformed.address());
            }
            Args args = runtime.args()
                    .pointer(gradient.address())
                    .pointer(plain ? x.address() : transformed.address())
                    .pointer(CudaTensor.floats(state.get(clip.step())))
                    .f32(clip.top())
                    .i64(x.rows())
                    .i64(x.cols())
                    .pointer(sums.address())
                    .about(x.tensor());
            kernels.launch(FILE, "straight_through", x.rows(), HALF_WARPS, args);
            args = runtime.args()
                    .pointer(sums.address())
                    .i64(x.rows())
                    .f32(ReferenceLearnedStep.gain(clip.top(), x.elements()))
                    .pointer(CudaTensor.floats(state.get(clip.stepGradient())))
                    .about(x.tensor());
            one("step_gradient", args);
            if (!plain) {
                transforms.apply(clip.transform(), gradient, state, gradient.address()); // its own adjoint
            }
        }
    }

    void search(HadamardSearch search, DeviceMatrix x, DeviceMatrix w, DeviceState state) {
        long most = Math.max(x.elements(), w.elements()) * Float.BYTES;
        long mostRows = Math.max(x.rows(), w.rows()) * Float.BYTES;
        long best = CudaTensor.floats(state.get(search.state()));
        try (CudaTensor transformed = runtime.memory().scratch("transformed", most);
                CudaTensor sums = runtime.memory().scratch("row sums", mostRows);
                CudaTensor found = runtime.memory().scratch("errors", Found.BYTES)) {
            for (int i = 0; i < search.sizes().size(); i++) {
                int log2 = Integer.numberOfTrailingZeros(search.sizes().get(i));
                Found at = new Found(found.address());
                error(x, log2, search.top(), transformed.address(), sums.address(), at, at.errors());
                error(w, log2, search.top(), transformed.address(), sums.address(), at, at.errors() + Float.BYTES);
                Args args = runtime.args()
                        .pointer(at.errors())
                        .f32(log2)
                        .i32(i == 0 ? 1 : 0)
                        .pointer(at.smallest())
                        .pointer(best);
                runtime.kernels().get(FILE, "search_compare").launch(1, 1, 1, 1, 0, args);
            }
        }
    }

    /** What a search keeps on the device. */
    private record Found(long address) {
        static final long BYTES = 32;

        long errors() { // of x and w
            return address;
        }

        long smallest() {
            return address + 8;
        }

        long amax() {
            return address + 12;
        }

        long step() { // scale, multiplier, divisor
            return address + 16;
        }
    }

    /** Writes Σ (x - step · code)² of the transformed matrix. */
    private void error(DeviceMatrix x, int log2, int top, long transformed, long sums, Found at, long error) {
        Args args = runtime.args()
                .pointer(x.address())
                .pointer(transformed)
                .i64(x.rows())
                .i64(x.cols())
                .f32(log2)
                .about(x.tensor());
        kernels.launch(FILE, "search_transform", x.elements(), CHUNK, args);
        runtime.stream().fill(at.amax(), (byte) 0, Integer.BYTES);
        args = runtime.args()
                .pointer(transformed)
                .i64(x.rows())
                .i64(x.cols())
                .pointer(sums)
                .pointer(at.amax())
                .about(x.tensor());
        kernels.launch(FILE, "search_magnitudes", x.rows(), HALF_WARPS, args);
        args = runtime.args()
                .pointer(sums)
                .pointer(at.amax())
                .i64(x.rows())
                .i64(x.cols())
                .f32(top)
                .pointer(at.step());
        one("search_step", args);
        args = runtime.args()
                .pointer(transformed)
                .i64(x.rows())
                .i64(x.cols())
                .pointer(at.step())
                .i32(top)
                .pointer(sums)
                .about(x.tensor());
        kernels.launch(FILE, "search_errors", x.rows(), HALF_WARPS, args);
        one("search_error", runtime.args().pointer(sums).i64(x.rows()).pointer(error));
    }

    private void one(String function, Args args) {
        runtime.kernels().get(FILE, function).launch(1, 1, 1, FINISH_BLOCK, 0, args);
    }
}
