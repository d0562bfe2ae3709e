#pragma once
// Instructions of sm_90a: asynchronous copies of boxes of a matrix, and matrix multiplication by a warpgroup.
#include <cuda.h>

#include "barrier.cuh"

namespace nibble {

/** Starts the copy of a box of a matrix, 128 bytes of the contraction wide; what lies outside of the matrix is 0. */
__device__ __forceinline__ void copyBox(void* to, const CUtensorMap* map, int k, int row, uint64_t* barrier) {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::"r"(
            shared_address(to)),
        "l"(map), "r"(shared_address(barrier)), "r"(k), "r"(row)
        : "memory");
}

/** Describes a tile in shared memory: rows of 128 bytes, swizzled by 128 bytes, groups of 8 rows 1024 bytes apart. */
__device__ __forceinline__ uint64_t tileDescriptor(const void* tile) {
    uint64_t address = (shared_address(tile) & 0x3FFFF) >> 4;
    return address | (uint64_t{1} << 16) | (uint64_t{1024 >> 4} << 32) | (uint64_t{1} << 62);
}

__device__ __forceinline__ void warpgroupArrive() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

__device__ __forceinline__ void warpgroupCommit() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

__device__ __forceinline__ void warpgroupWait() {
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
}

/** A barrier of the 128 threads of one warpgroup. */
__device__ __forceinline__ void warpgroupSync(int id) {
    asm volatile("bar.sync %0, 128;" ::"r"(id) : "memory");
}

template <int Registers>
__device__ __forceinline__ void growRegisters() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Registers));
}

template <int Registers>
__device__ __forceinline__ void shrinkRegisters() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Registers));
}

// d[64, N] = a[64, K] * b[N, K]^T, plus d where keep is not 0. Register 4j + 2h + i of a thread holds row
// 16 * warp + lane / 4 + 8h, column 8j + 2 * (lane % 4) + i. A register can only be named by a constant, so all are written out.

#define NIBBLE_NAMES_64 \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define NIBBLE_NAMES_128 NIBBLE_NAMES_64 ", " \
    "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, " \
    "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, " \
    "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
    "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"

#define NIBBLE_REGISTERS_8(kind, i) \
    kind(d[i]), kind(d[i + 1]), kind(d[i + 2]), kind(d[i + 3]), kind(d[i + 4]), kind(d[i + 5]), kind(d[i + 6]), kind(d[i + 7])
#define NIBBLE_REGISTERS_32(kind, i) \
    NIBBLE_REGISTERS_8(kind, i), NIBBLE_REGISTERS_8(kind, i + 8), NIBBLE_REGISTERS_8(kind, i + 16), NIBBLE_REGISTERS_8(kind, i + 24)
#define NIBBLE_REGISTERS_64(kind) NIBBLE_REGISTERS_32(kind, 0), NIBBLE_REGISTERS_32(kind, 32)
#define NIBBLE_REGISTERS_128(kind) NIBBLE_REGISTERS_64(kind), NIBBLE_REGISTERS_32(kind, 64), NIBBLE_REGISTERS_32(kind, 96)

// What comes behind the registers: a, b, keep.
#define NIBBLE_OPERANDS_64 "%64, %65"
#define NIBBLE_KEEP_64 "%66"
#define NIBBLE_OPERANDS_128 "%128, %129"
#define NIBBLE_KEEP_128 "%130"

// options: whether a and b are taken as they are or negated, and, of halves, whether they are transposed.
#define NIBBLE_MULTIPLY(name, type, count, kind, instruction, options)                                                    \
    __device__ __forceinline__ void name(type (&d)[count], uint64_t a, uint64_t b, int keep) {                            \
        asm volatile(                                                                                                     \
            "{\n.reg .pred p;\n"                                                                                          \
            "setp.ne.b32 p, " NIBBLE_KEEP_##count ", 0;\n"                                                                \
            "wgmma.mma_async.sync.aligned." instruction " {" NIBBLE_NAMES_##count "}, " NIBBLE_OPERANDS_##count           \
            ", p" options ";\n}\n"                                                                                        \
            : NIBBLE_REGISTERS_##count(kind)                                                                              \
            : "l"(a), "l"(b), "r"(keep));                                                                                 \
    }

NIBBLE_MULTIPLY(multiplyInt8, int, 128, "+r", "m64n256k32.s32.s8.s8", "")
NIBBLE_MULTIPLY(multiplyInt8, int, 64, "+r", "m64n128k32.s32.s8.s8", "")
NIBBLE_MULTIPLY(multiplyBf16, float, 128, "+f", "m64n256k16.f32.bf16.bf16", ", 1, 1, 0, 0")
NIBBLE_MULTIPLY(multiplyBf16, float, 64, "+f", "m64n128k16.f32.bf16.bf16", ", 1, 1, 0, 0")
NIBBLE_MULTIPLY(multiplyFp16, float, 128, "+f", "m64n256k16.f32.f16.f16", ", 1, 1, 0, 0")
NIBBLE_MULTIPLY(multiplyFp16, float, 64, "+f", "m64n128k16.f32.f16.f16", ", 1, 1, 0, 0")
NIBBLE_MULTIPLY(multiplyE4M3E4M3, float, 64, "+f", "m64n128k32.f32.e4m3.e4m3", ", 1, 1")
NIBBLE_MULTIPLY(multiplyE4M3E5M2, float, 64, "+f", "m64n128k32.f32.e4m3.e5m2", ", 1, 1")
NIBBLE_MULTIPLY(multiplyE5M2E4M3, float, 64, "+f", "m64n128k32.f32.e5m2.e4m3", ", 1, 1")
NIBBLE_MULTIPLY(multiplyE5M2E5M2, float, 64, "+f", "m64n128k32.f32.e5m2.e5m2", ", 1, 1")

}  // namespace nibble
