// SPDX-License-Identifier: MIT
// Which build is this: see build.h.
#include "harness/store/build.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sb_git.h> // SB_GIT, written by git.cmake before each build

static const char program[] = "/proc/self/exe", worker[] = "shmbench-worker";

// The build-id among the notes that fill `bytes` at `note`.
static int find_note(const unsigned char *note, size_t bytes,
                     char id[SB_BUILD_ID_BYTES])
{
    while (bytes >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr head;
        memcpy(&head, note, sizeof head);
        size_t name = (head.n_namesz + (size_t)3) & ~(size_t)3;
        size_t data = (head.n_descsz + (size_t)3) & ~(size_t)3;
        if (sizeof head + name + data > bytes) {
            return -ENOEXEC;
        }
        const unsigned char *words = note + sizeof head;
        if (head.n_type == NT_GNU_BUILD_ID && head.n_namesz == 4 &&
            memcmp(words, "GNU", 4) == 0 && 2 * head.n_descsz < SB_BUILD_ID_BYTES) {
            for (uint32_t i = 0; i < head.n_descsz; i++) {
                snprintf(id + (size_t)2 * i, 3, "%02x", words[name + i]);
            }
            return 0;
        }
        note += sizeof head + name + data;
        bytes -= sizeof head + name + data;
    }
    return -ENODATA;
}

static int find_id(const unsigned char *file, size_t bytes, char id[SB_BUILD_ID_BYTES])
{
    Elf64_Ehdr head;
    if (bytes < sizeof head) {
        return -ENOEXEC;
    }
    memcpy(&head, file, sizeof head);
    if (memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
        head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_phoff > bytes ||
        head.e_phentsize != sizeof(Elf64_Phdr) ||
        head.e_phnum * sizeof(Elf64_Phdr) > bytes - head.e_phoff) {
        return -ENOEXEC;
    }
    int rc = -ENODATA;
    for (uint32_t i = 0; i < head.e_phnum && rc != 0; i++) {
        Elf64_Phdr part;
        memcpy(&part, file + head.e_phoff + i * sizeof part, sizeof part);
        if (part.p_type == PT_NOTE && part.p_offset <= bytes &&
            part.p_filesz <= bytes - part.p_offset) {
            rc = find_note(file + part.p_offset, part.p_filesz, id);
        }
    }
    return rc;
}

int sb_build_id(const char *path, char id[SB_BUILD_ID_BYTES])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    struct stat stat;
    int rc = fstat(fd, &stat) != 0 ? -errno : stat.st_size == 0 ? -ENOEXEC : 0;
    if (rc == 0) {
        size_t bytes = (size_t)stat.st_size;
        void *file = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        rc = file == MAP_FAILED ? -errno : 0;
        if (rc == 0) {
            char found[SB_BUILD_ID_BYTES];
            rc = find_id(file, bytes, found);
            if (rc == 0) {
                memcpy(id, found, sizeof found);
            }
            munmap(file, bytes);
        }
    }
    close(fd);
    return rc;
}

const char *sb_build_preset(void)
{
    return SB_BUILD;
}

static bool sanitized(void)
{
#ifdef SB_SANITIZED
    return true;
#else
    return false;
#endif
}

bool sb_build_storable(void)
{
    return strcmp(SB_BUILD, "measure") == 0 && !sanitized();
}

// An executable that cannot be read is recorded as unknown: the run has measured
// nevertheless.
static void emit_id(struct sb_emit *emit, const char *key, const char *path)
{
    char id[SB_BUILD_ID_BYTES];
    sb_emit_string(emit, key, sb_build_id(path, id) == 0 ? id : "unknown");
}

void sb_build_emit(struct sb_emit *emit, const char *key)
{
    char self[PATH_MAX], beside[PATH_MAX + sizeof worker + 1];
    ssize_t length = readlink(program, self, sizeof self - 1);
    self[length > 0 ? length : 0] = '\0';
    snprintf(beside, sizeof beside, "%s/%s", dirname(self), worker);

    sb_emit_open(emit, key, '{');
    sb_emit_string(emit, "preset", sb_build_preset());
    sb_emit_string(emit, "type", SB_BUILD_TYPE);
    sb_emit_bool(emit, "sanitized", sanitized());
    sb_emit_bool(emit, "storable", sb_build_storable());
    sb_emit_string(emit, "version", SB_VERSION);
#ifdef __clang__
    sb_emit_string(emit, "compiler", __VERSION__);
#else
    sb_emit_string(emit, "compiler", "gcc " __VERSION__);
#endif
    sb_emit_string(emit, "git", SB_GIT);
    sb_emit_open(emit, "ids", '{');
    emit_id(emit, "shmbench", program);
    emit_id(emit, worker, beside);
    sb_emit_close(emit, '}');
    sb_emit_close(emit, '}');
}
