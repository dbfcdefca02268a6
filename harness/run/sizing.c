// SPDX-License-Identifier: MIT
// How much memory a cell's trial wants.
//
// Built on: sizing.h.
#include "harness/run/sizing.h"

enum { HEADROOM = 4 };

void sb_cell_sizes(const struct sb_plan *plan, const struct sb_cell *cell,
                   uint64_t steps, uint64_t *live_bytes, uint64_t *segment_bytes,
                   uint64_t *shared_bytes)
{
    const struct sb_workload *workload = cell->workload;
    const uint64_t least = UINT64_C(64) << 20, grain = (UINT64_C(1) << 20) - 1;
    uint64_t live = workload->live_bytes(cell->options, cell->workers, steps);
    uint64_t segment = plan->settings.segment_bytes;
    if (segment == 0 && workload->segment_bytes) {
        segment = workload->segment_bytes(cell->options, cell->workers, steps);
    }
    if (segment == 0) {
        segment = live > least / HEADROOM ? live * HEADROOM : least;
        segment = (segment + grain) & ~grain;
    }
    *live_bytes = live;
    *segment_bytes = segment;
    *shared_bytes = workload->shared_bytes
                        ? workload->shared_bytes(cell->options, cell->workers, steps)
                        : 0;
}
