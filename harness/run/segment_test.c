// SPDX-License-Identifier: MIT
// Where segments live, and what happens when there is too little room.
//
// Built on: segment.h. A /dev/shm of 8 MiB is made in a mount namespace of a child's
// own; where that is not permitted the case is skipped.
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "harness/run/control.h"
#include "harness/run/run.h"
#include "harness/run/segment.h"

enum { MIB = 1 << 20 };

static void test_memfd(void **state)
{
    (void)state;
    struct sb_segment segment;
    assert_int_equal(sb_segment_prepare(&segment, SB_MEMFD, 64 * MIB, MIB, 1, NULL), 0);
    assert_true(segment.fd > SB_SEGMENT_FD);
    assert_true(fcntl(segment.fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(sb_segment_footprint(&segment), 0);
    assert_int_equal(ftruncate(segment.fd, 64 * MIB), 0);
    assert_int_equal(sb_segment_footprint(&segment), 0); // sparse
    assert_int_equal(write(segment.fd, "x", 1), 1);
    assert_int_equal(sb_segment_footprint(&segment), 4096);
    sb_segment_remove(&segment);
    sb_segment_remove(&segment);
    assert_int_equal(segment.fd, -1);
}

static void test_none(void **state)
{
    (void)state;
    struct sb_segment segment;
    assert_int_equal(sb_segment_prepare(&segment, 0, 64 * MIB, MIB, 2, NULL), 0);
    assert_int_equal(segment.fd, -1);
    assert_int_equal(sb_segment_footprint(&segment), 0);
    sb_segment_remove(&segment);
}

static void test_file_is_removed(void **state)
{
    (void)state;
    struct sb_segment segment;
    struct stat file;
    assert_int_equal(sb_segment_prepare(&segment, SB_FILE, MIB, 4096, 3, NULL), 0);
    int fd = open(segment.path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    char path[sizeof segment.path];
    snprintf(path, sizeof path, "%s", segment.path);
    sb_segment_remove(&segment);
    assert_int_equal(stat(path, &file), -1);
    assert_int_equal(errno, ENOENT);
}

// In the child: 0 all right, 1 not, 2 no small /dev/shm to be had.
static int with_little_room(void)
{
    struct sb_segment segment;
    struct sb_error error = {{0}};
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", "/dev/shm", "tmpfs", 0, "size=8m") != 0) {
        return 2;
    }
    // Room for twice what is live: a smaller segment, clear of the end.
    if (sb_segment_prepare(&segment, SB_SHM, 64 * MIB, MIB, 1, &error) != 0 ||
        segment.bytes >= 8 * MIB || segment.bytes < 4 * MIB) {
        return 1;
    }
    // Not even that: refused, with both figures.
    struct sb_segment before = segment;
    if (sb_segment_prepare(&segment, SB_SHM, 64 * MIB, 16 * MIB, 1, &error) !=
            -ENOSPC ||
        !strstr(error.text, "/dev/shm has room for 8 MiB") ||
        memcmp(&segment, &before, sizeof segment) != 0) {
        return 1;
    }
    return 0;
}

static void test_little_room(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(with_little_room());
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 2) {
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memfd),
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_file_is_removed),
        cmocka_unit_test(test_little_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
