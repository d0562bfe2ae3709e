// What the host and all kernels share: the numbers of the open step, and the record of what was not finite.
#pragma once

#include <stdint.h>

// Written at the beginning of each step (StepInfo.java). A kernel reads what changes from step to step here, never from
// its arguments: a recorded step is replayed with the arguments it had.
struct StepInfo {
    uint32_t step;
    uint32_t microBatch;
    uint32_t mode; // 0 train, 1 evaluate, 2 recompute
    float learningRate;
    uint32_t phase; // 0 low-bit, 1 fine-tune
    uint32_t seedLow;
    uint32_t seedHigh;
    uint32_t unused;
};

constexpr int MOST_PLACES = 16384; // as in NonFiniteRecord.java

// Places whose operand held NaN or infinity, in the order they were met (NonFiniteRecord.java).
struct NonFiniteRecord {
    uint32_t count; // of places noted since they were last taken
    uint32_t unused[3];
    uint32_t noted[MOST_PLACES]; // by number of the place: 1 if it is in the list
    uint32_t order[MOST_PLACES]; // numbers of places
};

// Notes a place. Any thread may call it, and several may for the same place.
static __device__ __forceinline__ void noteNonFinite(NonFiniteRecord* record, int place) {
    if (atomicExch(&record->noted[place], 1u) == 0u) {
        record->order[atomicAdd(&record->count, 1u)] = static_cast<uint32_t>(place);
    }
}
