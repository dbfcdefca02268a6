// SPDX-License-Identifier: MIT
// The sbrk that dlmalloc grows by; put before its source by the build.
//
// Built on: nothing. Concurrency: called by dlmalloc, under the subject's mutex.
#ifndef SB_SUBJECTS_DLMALLOC_MORECORE_H
#define SB_SUBJECTS_DLMALLOC_MORECORE_H

#include <stddef.h>

// Gives `bytes` more (takes back if negative); returns the end as it was, all ones if
// there is no more.
void *sb_dlmalloc_morecore(ptrdiff_t bytes);

#endif
