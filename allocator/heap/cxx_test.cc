// SPDX-License-Identifier: MIT
/*
 * cxx_test.cc - the header as C++ sees it, its inlined calls included.
 *
 * Built on: hh.h alone.
 */
#include "allocator/heap/hh.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

static int fail(const char *what)
{
    (void)std::fprintf(stderr, "%s: %s\n", what, hh_why());
    return 1;
}

int main()
{
    hh_heap *heap = nullptr;
    hh_setup setup = {};
    hh_handle block;
    void *at = nullptr;
    setup.bytes = 4 << 20;
    if (hh_create(hh_memfd("c++"), &setup, &heap))
        return fail("create");
    if (hh_alloc(heap, 100, &block))
        return fail("alloc");
    if (hh_lock(heap, block, HH_PIN, HH_NOWAIT, &at))
        return fail("lock");
    std::memset(at, 1, 100);
    if (hh_free(heap, block) != -EBUSY)
        return fail("free of a locked block");
    if (hh_unlock(heap, block) || hh_free(heap, block))
        return fail("unlock and free");
    if (hh_free(heap, block) != -ESTALE)
        return fail("second free");
    if (hh_check(heap))
        return fail("check");
    hh_close(heap);
    return 0;
}
