// SPDX-License-Identifier: MIT
// Tests of sampler.h.
#include "harness/measure/sampler.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static const off_t page = 4096;

static void footprint_is_what_was_touched(void **state)
{
    (void)state;
    int fd = memfd_create("sampler_test", MFD_CLOEXEC);
    assert_true(fd >= 0);
    struct sb_sampler sampler = {.fd = fd};
    assert_int_equal(ftruncate(fd, 64 * page), 0);
    assert_int_equal(sb_sampler_read(&sampler), 0);
    assert_int_equal(sampler.now_bytes, 0);
    // Two pages far apart: a page each, unless huge pages are forced on memfds.
    assert_int_equal(pwrite(fd, "x", 1, 0), 1);
    assert_int_equal(pwrite(fd, "x", 1, 40 * page), 1);
    assert_int_equal(sb_sampler_read(&sampler), 0);
    assert_true(sampler.now_bytes >= 2 * (uint64_t)page);
    assert_int_equal(sampler.now_bytes % (uint64_t)page, 0);
    uint64_t peak = sampler.now_bytes;
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(sb_sampler_read(&sampler), 0);
    assert_int_equal(sampler.now_bytes, 0);
    assert_int_equal(sampler.peak_bytes, peak);
    close(fd);
    assert_int_equal(sb_sampler_read(&sampler), -EBADF);
    assert_int_equal(sampler.peak_bytes, peak);
}

static void moments_stay_evenly_spaced(void **state)
{
    (void)state;
    struct sb_timeline line;
    for (uint32_t capacity = 4; capacity <= 10; capacity += 2) {
        assert_int_equal(sb_timeline_init(&line, sizeof(uint64_t), capacity), 0);
        const uint64_t *items = line.items;
        for (uint64_t moment = 0; moment < 1000; moment++) {
            sb_timeline_add(&line, &moment);
            assert_int_equal(line.offered, moment + 1);
            assert_in_range(line.count, 1, capacity);
            for (uint32_t i = 0; i < line.count; i++) {
                assert_int_equal(items[i], i * line.stride);
            }
            // None is missing up to now, and resolution is lost only when full.
            assert_int_equal(line.count, moment / line.stride + 1);
            assert_true(line.stride == 1 || line.count > capacity / 2);
        }
        uint64_t last = 5000;
        sb_timeline_end(&line, &last);
        assert_in_range(line.count, 2, capacity);
        assert_int_equal(items[line.count - 1], 5000);
        sb_timeline_reset(&line);
        assert_int_equal(line.count, 0);
        assert_true(sb_timeline_add(&line, &last));
        assert_true(sb_timeline_add(&line, &last));
        assert_int_equal(line.count, 2);
        sb_timeline_free(&line);
        assert_null(line.items);
    }
}

static void unfit_timelines_are_refused(void **state)
{
    (void)state;
    struct sb_timeline line = {.count = 77};
    assert_int_equal(sb_timeline_init(&line, 8, 3), -EINVAL);
    assert_int_equal(sb_timeline_init(&line, 8, 2), -EINVAL);
    assert_int_equal(sb_timeline_init(&line, 0, 4), -EINVAL);
    assert_int_equal(line.count, 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(footprint_is_what_was_touched),
        cmocka_unit_test(moments_stay_evenly_spaced),
        cmocka_unit_test(unfit_timelines_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
