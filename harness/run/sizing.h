// SPDX-License-Identifier: MIT
// How much memory a cell's trial wants, from what its workload says of itself.
//
// Built on: plan.h. Units: bytes. Concurrency: reads only.
#ifndef SB_RUN_SIZING_H
#define SB_RUN_SIZING_H

#include "harness/run/plan.h"

// What may be live at once, what the segment gets (as set, else as the workload wants
// it, else four times what is live and
// 64 MiB at least, so that no subject is measured near its end unless the job wants
// it), and what the workers share besides.
void sb_cell_sizes(const struct sb_plan *plan, const struct sb_cell *cell,
                   uint64_t steps, uint64_t *live_bytes, uint64_t *segment_bytes,
                   uint64_t *shared_bytes);

#endif
