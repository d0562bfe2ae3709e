// The elements of a tile: read once, kept in shared memory, each by the thread that rounds it.
//
// A thread holds the columns 4 * lane .. 4 * lane + 3 of bands of four rows: warp w those of bands w, w + warps, ...
#pragma once

#include "code_call.cuh"

// Four elements of a row; 0 beyond the matrix.
static __device__ __forceinline__ float4 load_four(const float* x, int row, int col, int rows, int cols, int vector) {
    float4 v = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    if (row < rows && col < cols) {
        const float* at = x + (long long)row * cols + col;
        if (vector) {
            v = *(const float4*)at;
        } else {
            v.x = at[0];
            v.y = col + 1 < cols ? at[1] : 0.0f;
            v.z = col + 2 < cols ? at[2] : 0.0f;
            v.w = col + 3 < cols ? at[3] : 0.0f;
        }
    }
    return v;
}

// Adds to the largest magnitude of a tensor; all lanes of a warp come here.
static __device__ __forceinline__ void note_amax(uint32_t* amax, uint32_t largest) {
    largest = __reduce_max_sync(0xFFFFFFFFu, largest);
    if (amax != nullptr && (threadIdx.x & 31) == 0 && largest != 0) {
        atomicMax(amax, largest);
    }
}

// The larger of two magnitudes, NaN if one is none.
static __device__ __forceinline__ float larger_magnitude(float a, float b) {
    float larger;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(larger) : "f"(fabsf(a)), "f"(fabsf(b)));
    return larger;
}

static __device__ __forceinline__ float largest_magnitude(float most, const float4& v) {
    return larger_magnitude(larger_magnitude(most, v.x), larger_magnitude(larger_magnitude(v.y, v.z), v.w));
}

// Elements of a tile in shared memory, [ROWS][TILE_COLS]. No thread touches another's.
template <int ROWS, int THREADS>
struct TileValues {
    static constexpr int WARPS = THREADS / 32;
    static constexpr int BANDS = ROWS / 4 / WARPS; // of a warp

    float* values;

    // Row in the tile of the first of four rows of a thread.
    static __device__ __forceinline__ int row_of(int band) { return 4 * (band * WARPS + (threadIdx.x >> 5)); }

    __device__ __forceinline__ float4* at(int row) const {
        return (float4*)(values + row * TILE_COLS) + (threadIdx.x & 31);
    }

    // Reads the tile; 0 beyond the matrix.
    __device__ __forceinline__ void load(const float* x, int rows, int cols, int vector, int row0, int col0) const {
        int col = col0 + 4 * (threadIdx.x & 31);
        if (vector) {
            const float* from = x + (long long)(row0 + row_of(0)) * cols + col;
            uint32_t to = (uint32_t)__cvta_generic_to_shared(at(row_of(0)));
            if (row0 + ROWS <= rows && col0 + TILE_COLS <= cols) {
#pragma unroll
                for (int band = 0; band < BANDS; band++) {
#pragma unroll
                    for (int i = 0; i < 4; i++) {
                        int below = band * WARPS * 4 + i;
                        asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to + below * TILE_COLS * 4),
                                     "l"(from + (long long)below * cols));
                    }
                }
                asm volatile("cp.async.wait_all;" ::: "memory");
                return;
            }
            int inside = col < cols ? rows - row0 - row_of(0) : 0; // rows below the first that are not padding
#pragma unroll 1
            for (int band = 0; band < BANDS; band++) {
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    int below = band * WARPS * 4 + i;
                    int bytes = below < inside ? 16 : 0; // the rest is set to 0
                    const float* line = below < inside ? from + (long long)below * cols : x;
                    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to + below * TILE_COLS * 4),
                                 "l"(line),
                                 "r"(bytes));
                }
            }
            asm volatile("cp.async.wait_all;" ::: "memory");
            return;
        }
        for (int band = 0; band < BANDS; band++) {
            for (int i = 0; i < 4; i++) {
                int row = row_of(band) + i;
                *at(row) = load_four(x, row0 + row, col, rows, cols, vector);
            }
        }
    }

    // Gives each of a thread's rows to body(row in the tile, elements).
    template <class Body>
    __device__ __forceinline__ void each_row(Body body) const {
#pragma unroll 2
        for (int band = 0; band < BANDS; band++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                body(row_of(band) + i, *at(row_of(band) + i));
            }
        }
    }
};

// The amax of each group of a tile while a thread goes down its rows: bits in shared memory, [128 / height][128 / width]. The
// extents divide 128.
struct TileAmax {
    uint32_t* amaxes;
    int rowShift;
    int colShift;
    int current; // row of groups of the largest magnitudes so far; -1 before the first
    float largest[4];

    __device__ __forceinline__ TileAmax(const Grid& grid, uint32_t* at) {
        amaxes = at;
        rowShift = 31 - __clz(grid.height);
        colShift = 31 - __clz(grid.width);
        current = -1;
        largest[0] = largest[1] = largest[2] = largest[3] = 0.0f;
    }

    // Takes four elements at [row, 4 * lane .. 4 * lane + 3] of the tile; all lanes of a warp come with the same row.
    __device__ __forceinline__ void take(int row, const float4& v) {
        int rowGroup = row >> rowShift;
        if (rowGroup != current) {
            flush();
            current = rowGroup;
            largest[0] = largest[1] = largest[2] = largest[3] = 0.0f;
        }
        largest[0] = larger_magnitude(largest[0], v.x);
        largest[1] = larger_magnitude(largest[1], v.y);
        largest[2] = larger_magnitude(largest[2], v.z);
        largest[3] = larger_magnitude(largest[3], v.w);
    }

    __device__ __forceinline__ uint32_t whole() const {
        return __float_as_uint(
            larger_magnitude(larger_magnitude(largest[0], largest[1]), larger_magnitude(largest[2], largest[3])));
    }

    __device__ __forceinline__ void flush() {
        if (current < 0) {
            return;
        }
        int lane = threadIdx.x & 31;
        uint32_t* line = amaxes + (current << (7 - colShift));
        if (colShift == 7) {
            uint32_t m = whole();
            m = __reduce_max_sync(0xFFFFFFFFu, m);
            if (lane == 0) {
                atomicMax(line, m);
            }
        } else if (colShift >= 2) {
            uint32_t m = whole();
            int lanes = 1 << (colShift - 2);
            for (int other = 1; other < lanes; other *= 2) {
                m = max(m, __shfl_xor_sync(0xFFFFFFFFu, m, other));
            }
            if ((lane & (lanes - 1)) == 0) {
                atomicMax(line + (4 * lane >> colShift), m);
            }
        } else {
#pragma unroll
            for (int j = 0; j < 4; j++) {
                atomicMax(line + ((4 * lane + j) >> colShift), __float_as_uint(largest[j]));
            }
        }
    }
};

