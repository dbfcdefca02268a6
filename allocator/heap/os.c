// SPDX-License-Identifier: MIT
/*
 * os.c - the kernel's part: files, memory, liveness, barrier, futex, clock.
 *
 * Built on: Linux 5.10, /proc. Units: ns of CLOCK_MONOTONIC. Concurrency: any thread.
 * Why this way: a process's life is an open-file-description lock on a description of
 * its own, kept alive by one mapped page that fork does not copy. It survives close of
 * every descriptor, is not inherited, and ends with the process whatever killed it. A
 * pid or a lease would name the wrong process sooner or later, and that corrupts.
 */
#include "allocator/heap/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/futex.h>
#include <linux/magic.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <sys/mman.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; refused before, and done without then */
#endif

int64_t hh_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

int64_t hh_deadline(int64_t timeout_ns)
{
    int64_t now = hh_now();
    return timeout_ns > INT64_MAX - now ? HH_FOREVER : now + timeout_ns;
}

/* A new description of the same file: what is locked through it is ours alone. */
static int reopen(int fd, int flags)
{
    char path[40];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int again = open(path, flags | O_CLOEXEC);
    return again < 0 ? -errno : again;
}

int hh_os_again(int fd)
{
    return reopen(fd, O_RDWR);
}

/* The folder of a path, for an unnamed file that gets its name when complete. */
static int open_unnamed(const char *path, uint32_t mode)
{
    char folder[PATH_MAX] = ".";
    const char *slash = strrchr(path, '/');
    if (slash) {
        size_t length = slash == path ? 1 : (size_t)(slash - path);
        if (length >= sizeof folder)
            return -ENAMETOOLONG;
        memcpy(folder, path, length);
        folder[length] = 0;
    }
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, (mode_t)mode);
    return fd < 0 ? -errno : fd;
}

static int shm_path(const char *name, char path[PATH_MAX])
{
    if (name[0] != '/' || !name[1] || strchr(name + 1, '/'))
        return hh_fail(-EINVAL, "a shared memory name is /NAME, not %.100s", name);
    int length = snprintf(path, PATH_MAX, "/dev/shm%s", name);
    return length >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static int path_of(struct hh_where where, char path[PATH_MAX])
{
    if (!where.name || !where.name[0])
        return hh_fail(-EINVAL, "no name was given");
    if (where.kind == HH_SHM)
        return shm_path(where.name, path);
    int length = snprintf(path, PATH_MAX, "%s", where.name);
    return length >= PATH_MAX ? -ENAMETOOLONG : 0;
}

int hh_os_create(struct hh_where where, uint32_t mode, int *fd)
{
    char path[PATH_MAX];
    int made;
    if (where.kind == HH_FD) {
        made = reopen(where.fd, O_RDWR);
    } else if (where.kind == HH_MEMFD) {
        made = memfd_create(where.name ? where.name : "hh",
                            MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (made < 0)
            made = -errno;
    } else {
        int error = path_of(where, path);
        if (error)
            return error;
        if (!faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW))
            return -EEXIST;
        made = open_unnamed(path, mode);
    }
    if (made < 0)
        return made;
    *fd = made;
    return 0;
}

int hh_os_publish(struct hh_where where, int fd)
{
    char path[PATH_MAX], from[40];
    if (where.kind == HH_FD)
        return 0;
    if (where.kind == HH_MEMFD) {
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
            return -errno;
        return 0;
    }
    int error = path_of(where, path);
    if (error)
        return error;
    (void)snprintf(from, sizeof from, "/proc/self/fd/%d", fd);
    if (linkat(AT_FDCWD, from, AT_FDCWD, path, AT_SYMLINK_FOLLOW))
        return hh_fail(-errno, "cannot make %.150s", path);
    return 0;
}

int hh_os_unlink(struct hh_where where)
{
    char path[PATH_MAX];
    int error = path_of(where, path);
    if (!error && unlink(path))
        error = hh_fail(-errno, "cannot remove %.150s", path);
    return error;
}

int hh_os_open(struct hh_where where, int *fd)
{
    char path[PATH_MAX];
    int opened;
    if (where.kind == HH_FD) {
        opened = reopen(where.fd, O_RDWR);
    } else if (where.kind == HH_FILE || where.kind == HH_SHM) {
        int error = path_of(where, path);
        if (error)
            return error;
        /* /proc/PID/fd/N is a link by nature; any other link is refused. */
        int follow = strncmp(path, "/proc/", 6) && strncmp(path, "/dev/fd/", 8);
        opened =
            open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | (follow ? O_NOFOLLOW : 0));
        if (opened < 0)
            opened = hh_fail(-errno, "cannot open %.150s", path);
    } else {
        return hh_fail(-EINVAL, "a memfd is opened by descriptor or /proc path");
    }
    if (opened < 0)
        return opened;
    *fd = opened;
    return 0;
}

/* Whether a file lies in memory: tmpfs, memfd, POSIX shared memory. */
bool hh_os_in_memory(int fd)
{
    struct statfs info;
    return !fstatfs(fd, &info) && info.f_type == TMPFS_MAGIC;
}

/* Whether the descriptor is still the segment: a program may have closed and reused it.
 */
static bool fd_is_ours(struct hh_map *map)
{
    struct stat found;
    return map->fd >= 0 && !fstat(map->fd, &found) && found.st_dev == map->device &&
           found.st_ino == map->inode;
}

/* Gives a range memory, or fails here and now instead of by SIGBUS later. */
int hh_os_provide(struct hh_map *map, uint64_t at, uint64_t bytes)
{
    if (map->foreign)
        return 0;
    if (!fd_is_ours(map))
        return hh_fail(-EBADF, "the heap's descriptor was closed behind its back");
    uint64_t from = at / HH_PAGE * HH_PAGE;
    uint64_t to = (at + bytes + HH_PAGE - 1) / HH_PAGE * HH_PAGE;
    int result;
    /* In memory that is no disk's, touching the pages provides them and saves the
     * faults later. What it cannot do, fallocate tells the reason of. */
    if (map->memory && !madvise(map->base + from, to - from, MADV_POPULATE_WRITE))
        return 0;
    do {
        result =
            fallocate(map->fd, FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(to - from));
    } while (result && errno == EINTR);
    if (!result)
        return 0;
    if (errno == EFBIG)
        return hh_fail(-ENOSPC, "the file size limit does not let the segment fill");
    return -errno;
}

int hh_os_punch(struct hh_map *map, uint64_t at, uint64_t bytes)
{
    if (map->foreign)
        return -ENOTSUP;
    if (!fd_is_ours(map))
        return -EBADF;
    if (fallocate(map->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at,
                  (off_t)bytes))
        return -errno;
    return 0;
}

static struct flock byte_of(uint32_t client)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    lock.l_start = HH_TOKEN_AT + client;
    lock.l_len = 1;
    return lock;
}

/* Takes a client's byte lock for as long as the page *token stays mapped. */
int hh_os_token(struct hh_map *map, uint32_t client, void **token)
{
    if (map->foreign && map->fd < 0) {
        uint64_t state = HH_LOAD(&map->head->client[client]);
        *token = NULL;
        return (state & 255) == HH_CLIENT_FREE && HH_CAS(&map->head->client[client],
                                                         &state, state | HH_CLIENT_DEAD)
                   ? 0
                   : -EAGAIN;
    }
    if (!fd_is_ours(map))
        return -EBADF;
    int fd = reopen(map->fd, O_RDWR);
    if (fd < 0)
        return fd;
    struct flock lock = byte_of(client);
    int error = 0;
    if (fcntl(fd, F_OFD_SETLK, &lock)) {
        error = errno == EACCES ? -EAGAIN : -errno;
    } else {
        void *page = mmap(NULL, HH_PAGE, PROT_READ, MAP_SHARED, fd, 0);
        if (page == MAP_FAILED)
            error = -errno;
        else if (madvise(page, HH_PAGE, MADV_DONTFORK))
            error = -errno;
        else
            *token = page;
        if (error && page != MAP_FAILED)
            (void)munmap(page, HH_PAGE);
    }
    (void)close(fd);
    return error;
}

/* False only when proven: nobody has the byte locked. */
bool hh_os_alive(struct hh_map *map, uint32_t client)
{
    if (map->foreign && map->fd < 0)
        return (HH_LOAD(&map->head->client[client]) & 255) != HH_CLIENT_FREE;
    struct flock lock = byte_of(client);
    if (!fd_is_ours(map) || fcntl(map->fd, F_OFD_GETLK, &lock))
        return true;
    return lock.l_type != F_UNLCK;
}

bool hh_os_barrier_register(void)
{
    return !syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0);
}

int hh_os_barrier(void)
{
    return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0) ? -errno : 0;
}

/* Makes sure that what other threads stored before is visible here. Where the kernel
 * has no barrier for that: long enough for any store buffer. */
void hh_os_settle(void)
{
    if (hh_os_barrier())
        hh_os_pause();
}

void hh_os_pause(void)
{
    struct timespec little = {0, 50000};
    (void)nanosleep(&little, NULL);
}

void hh_os_wait(uint32_t *word, uint32_t value, int64_t timeout_ns)
{
    struct timespec timeout = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    (void)syscall(SYS_futex, word, FUTEX_WAIT, value, &timeout, NULL, 0);
}

void hh_os_wake(uint32_t *word)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}
