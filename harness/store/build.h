// SPDX-License-Identifier: MIT
// Which build is this? Figures of one build must never be taken for those of another.
//
// Built on: emit.h, ELF notes. Concurrency: any thread.
// Why this way: the linker's build-id names the very bytes that ran; a version or a
// commit does not (flags, local changes, another compiler).
#ifndef SB_STORE_BUILD_H
#define SB_STORE_BUILD_H

#include <stdbool.h>
#include <stddef.h>

#include "harness/store/emit.h"

enum { SB_BUILD_ID_BYTES = 2 * 32 + 1 };

// The GNU build-id of an ELF file, as hex. Errors: errno of open; -ENOEXEC no 64-bit
// ELF file; -ENODATA it has no such note.
int sb_build_id(const char *path, char id[SB_BUILD_ID_BYTES]);

// The preset this was configured with, "measure" among them.
const char *sb_build_preset(void);
// May figures of this build be stored as results? Only from the preset measure, without
// sanitizers.
bool sb_build_storable(void);

// The manifest's member `build`.
void sb_build_emit(struct sb_emit *emit, const char *key);

#endif
