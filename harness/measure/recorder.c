// SPDX-License-Identifier: MIT
// Names of the recorded operations: see recorder.h.
#include "harness/measure/recorder.h"

#include <stddef.h>

const char *const sb_op_names[SB_OPS + 1] = {
    [SB_OP_ALLOC] = "alloc",
    [SB_OP_FREE] = "free",
    [SB_OP_ACCESS] = "access",
    [SB_OP_LOCK] = "lock",
    [SB_OP_UNLOCK] = "unlock",
    [SB_OP_REALLOC] = "realloc",
    [SB_OP_COMPACT] = "compact",
    [SB_OP_WAIT] = "wait",
    [SB_OP_OTHER] = "other",
    [SB_OP_RESPONSE] = "response",
    [SB_OPS] = NULL,
};
