// SPDX-License-Identifier: MIT
// The registry: workloads.def made into a table.
//
// Built on: workloads.h, workloads.def. Concurrency: constant.
#include "workloads/workloads.h"

#include <string.h>

#include "harness/base/text.h"

#define SB_WORKLOAD(name) extern const struct sb_workload sb_workload_##name;
#include "workloads/workloads.def"
#undef SB_WORKLOAD

const struct sb_workload *const sb_workloads[] = {
#define SB_WORKLOAD(name) &sb_workload_##name,
#include "workloads/workloads.def"
#undef SB_WORKLOAD
    NULL,
};

int sb_workload_find(const char *name, const struct sb_workload **workload,
                     struct sb_error *error)
{
    for (uint32_t i = 0; sb_workloads[i] != NULL; i++) {
        if (strcmp(sb_workloads[i]->name, name) == 0) {
            *workload = sb_workloads[i];
            return 0;
        }
    }
    static const char *const names[] = {
#define SB_WORKLOAD(name) #name,
#include "workloads/workloads.def"
#undef SB_WORKLOAD
        NULL,
    };
    return sb_unknown(error, "workload", name, names);
}
