// SPDX-License-Identifier: MIT
// The words that records and help texts use: see words.h.
#include "harness/store/words.h"

#include <stddef.h>

#include "allocator/subject.h"

static const char *const names[SB_CAPABILITIES] = {
    "SHARE",     "SAME_ADDRESS", "REMOTE_FREE", "OWNER_FREE", "PIN",
    "EXCLUSIVE", "REALLOC",      "COMPACT",     "REPAIR",     "CHECK",
    "RESIZE",    "PRIVATE",      "FORGETS",
};
_Static_assert(1 << (SB_CAPABILITIES - 1) == SB_CAP_FORGETS,
               "a capability has no name yet");

const char *const sb_as_names[3] = {"processes", "threads", NULL};
const char *const sb_medium_names[4] = {"memfd", "shm", "file", NULL};

const char *sb_capability_name(uint32_t index)
{
    return index < SB_CAPABILITIES ? names[index] : NULL;
}
