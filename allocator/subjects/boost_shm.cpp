// SPDX-License-Identifier: MIT
// boost_shm: Boost.Interprocess's managed memory segment, the shared heap that most
// C++ programs reach for.
//
// Built on: Boost.Interprocess, segment.h. Concurrency: Boost's (one process-shared
// mutex around a red-black tree of free blocks, best fit).
// Why this way: the same segment manager, algorithm and mutex as managed_shared_memory,
//   laid over a segment of ours, so that it lies on the same medium as every other
//   subject and its pages exist before Boost writes to them. A reference is Boost's
//   handle, an offset, so each process maps the segment where it likes.
// Departures: Boost never asks for pages; what it will touch is foreseen from the
//   highest block so far (best fit cuts from the front of the last free area, and
//   writes but there and at the very end), with room for what other workers allocate
//   meanwhile.
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <new>

#include <boost/interprocess/managed_external_buffer.hpp>
#include <boost/version.hpp>

#include "allocator/subjects/segment.h"

namespace ipc = boost::interprocess;

namespace
{

typedef ipc::basic_managed_external_buffer<
    char, ipc::rbtree_best_fit<ipc::mutex_family>, ipc::iset_index>
    managed;

const uint64_t MAGIC = UINT64_C(0x3130746f6f427368);
const uint64_t HEADER_BYTES = 4096;
const uint64_t STEP_BYTES = 65536;
const uint64_t SMALL_BYTES = 16384; // each worker may have one such call under way
const uint64_t BLOCK_EXTRA = 128;   // Boost's words around a block

// At the segment's start.
struct shared {
    std::atomic<uint64_t> magic; // by create, last
    uint64_t reserve;            // bytes ahead of `highest` that small blocks may need
    uint64_t empty_bytes;        // in use before the first block
    alignas(64) std::atomic<uint64_t> highest; // end of the highest block so far
    std::atomic<uint64_t> large;  // bytes of larger blocks being allocated just now
    std::atomic<uint64_t> backed; // offset up to which pages exist
};
static_assert(sizeof(shared) <= HEADER_BYTES, "the header has one page");

} // namespace

struct sb_heap {
    sb_segment segment;
    shared *common;
    managed memory;
};

struct sb_ctx {
    sb_heap *heap;
};

namespace
{

void raise_to(std::atomic<uint64_t> &value, uint64_t least)
{
    uint64_t old = value.load(std::memory_order_relaxed);
    while (old < least && !value.compare_exchange_weak(old, least)) {
    }
}

// Makes sure of the pages that an allocation may touch.
int foresee(sb_heap *heap, uint64_t bytes)
{
    shared *common = heap->common;
    uint64_t until = common->highest.load() + common->large.load() + common->reserve;
    if (bytes > heap->segment.bytes) {
        return -ENOMEM;
    }
    if (until > heap->segment.bytes) {
        until = heap->segment.bytes;
    }
    uint64_t backed = common->backed.load(std::memory_order_acquire);
    if (until <= backed) {
        return 0;
    }
    until = (until + STEP_BYTES - 1) / STEP_BYTES * STEP_BYTES;
    if (until > heap->segment.bytes) {
        until = heap->segment.bytes;
    }
    int rc = sb_segment_back(&heap->segment, backed, until);
    if (rc == 0) {
        raise_to(common->backed, until);
    }
    return rc;
}

int boost_probe(char *text, size_t bytes)
{
    std::snprintf(text, bytes, "Boost %d.%d.%d", BOOST_VERSION / 100000,
                  BOOST_VERSION / 100 % 1000, BOOST_VERSION % 100);
    return 0;
}

// What an exception means; called within a catch block only.
int errno_of_exception()
{
    try {
        throw;
    } catch (const std::bad_alloc &) { // Boost's bad_alloc is not of this kind
        return -ENOMEM;
    } catch (const ipc::bad_alloc &) {
        return -ENOMEM;
    } catch (const ipc::interprocess_exception &error) {
        int native = error.get_native_error();
        return native > 0 ? -native : -ENOMEM;
    } catch (...) {
        return -EIO;
    }
}

int hold(const sb_place *place, bool create, sb_heap **out)
{
    sb_segment segment;
    int rc = create ? sb_segment_create(place, nullptr, &segment)
                    : sb_segment_open(place, nullptr, &segment);
    if (rc != 0) {
        return rc;
    }
    sb_heap *heap = nullptr;
    shared *common = reinterpret_cast<shared *>(segment.base);
    unsigned char *memory = segment.base + HEADER_BYTES;
    uint64_t reserve = (place->workers + 1) * (SMALL_BYTES + BLOCK_EXTRA);
    try {
        if (segment.bytes < 4 * HEADER_BYTES) {
            rc = -ENOMEM;
        } else if (create) {
            // The header, Boost's own, and its last word at the end.
            uint64_t start = HEADER_BYTES + STEP_BYTES;
            start = start < segment.bytes ? start : segment.bytes;
            rc = sb_segment_back(&segment, 0, start);
            if (rc == 0) {
                rc = sb_segment_back(&segment, segment.bytes - HEADER_BYTES,
                                     segment.bytes);
            }
            if (rc == 0) {
                common = new (segment.base) shared();
                common->reserve = reserve;
                common->backed = start;
                heap = new sb_heap{
                    segment, common,
                    managed(ipc::create_only, memory, segment.bytes - HEADER_BYTES)};
                common->empty_bytes =
                    heap->memory.get_size() - heap->memory.get_free_memory();
                common->highest = HEADER_BYTES + common->empty_bytes;
                common->magic.store(MAGIC, std::memory_order_release);
            }
        } else if (common->magic.load(std::memory_order_acquire) != MAGIC) {
            rc = -EBADMSG;
        } else {
            heap = new sb_heap{
                segment, common,
                managed(ipc::open_only, memory, segment.bytes - HEADER_BYTES)};
        }
    } catch (...) {
        rc = errno_of_exception();
    }
    if (rc != 0) {
        delete heap;
        sb_segment_close(&segment);
        return rc;
    }
    *out = heap;
    return 0;
}

int boost_create(const sb_place *place, const void *, sb_heap **out)
{
    return hold(place, true, out);
}

int boost_open(const sb_place *place, const void *, sb_heap **out)
{
    return hold(place, false, out);
}

int boost_attach(sb_heap *heap, uint32_t, sb_ctx **out)
{
    sb_ctx *ctx = new (std::nothrow) sb_ctx{heap};
    if (ctx == nullptr) {
        return -ENOMEM;
    }
    *out = ctx;
    return 0;
}

void boost_detach(sb_ctx *ctx)
{
    delete ctx;
}

int boost_destroy(sb_heap *heap)
{
    sb_segment segment = heap->segment;
    delete heap; // the manager of an external buffer leaves the bytes alone
    return sb_segment_close(&segment);
}

int boost_alloc(sb_ctx *ctx, uint64_t bytes, sb_ref *block)
{
    sb_heap *heap = ctx->heap;
    uint64_t large = bytes > SMALL_BYTES ? bytes + BLOCK_EXTRA : 0;
    if (bytes > heap->segment.bytes) {
        return -ENOMEM;
    }
    if (large != 0) {
        heap->common->large.fetch_add(large);
    }
    int rc = foresee(heap, bytes);
    try {
        void *memory = rc == 0 ? heap->memory.allocate(bytes, std::nothrow) : nullptr;
        if (memory != nullptr) {
            block->bits =
                static_cast<uint64_t>(heap->memory.get_handle_from_address(memory));
            raise_to(heap->common->highest, HEADER_BYTES + block->bits + bytes);
        } else if (rc == 0) {
            rc = -ENOMEM;
        }
    } catch (...) {
        rc = errno_of_exception();
    }
    if (large != 0) {
        heap->common->large.fetch_sub(large);
    }
    return rc;
}

int boost_free(sb_ctx *ctx, sb_ref block)
{
    managed &memory = ctx->heap->memory;
    try {
        memory.deallocate(
            memory.get_address_from_handle(static_cast<managed::handle_t>(block.bits)));
    } catch (...) {
        return errno_of_exception();
    }
    return 0;
}

void *boost_address(sb_ctx *ctx, sb_ref block)
{
    return ctx->heap->memory.get_address_from_handle(
        static_cast<managed::handle_t>(block.bits));
}

int boost_realloc(sb_ctx *ctx, sb_ref *block, uint64_t bytes)
{
    void *before = boost_address(ctx, *block);
    uint64_t usable = ctx->heap->memory.get_segment_manager()->size(before);
    sb_ref after;
    if (bytes <= usable) {
        return 0;
    }
    int rc = boost_alloc(ctx, bytes, &after);
    if (rc != 0) {
        return rc;
    }
    std::memcpy(boost_address(ctx, after), before, usable);
    rc = boost_free(ctx, *block);
    *block = after;
    return rc;
}

int boost_usage(sb_heap *heap, sb_usage *usage)
{
    try {
        uint64_t used = heap->memory.get_size() - heap->memory.get_free_memory();
        *usage = sb_usage();
        usage->footprint_bytes = SB_UNKNOWN;
        usage->table_bytes = SB_UNKNOWN;
        usage->usable_bytes = used - heap->common->empty_bytes;
        usage->live_blocks = SB_UNKNOWN;
        usage->returned_bytes = 0;
    } catch (...) {
        return errno_of_exception();
    }
    return 0;
}

int boost_check(sb_heap *heap, char *text, size_t bytes)
{
    try {
        if (!heap->memory.check_sanity()) {
            std::snprintf(text, bytes,
                          "check_sanity: the tree of free blocks or a "
                          "block's size is wrong");
            return -EBADMSG;
        }
    } catch (...) {
        return errno_of_exception();
    }
    return 0;
}

sb_subject describe()
{
    sb_subject s = sb_subject();
    s.abi = SB_SUBJECT_ABI;
    s.size = sizeof s;
    s.name = "boost_shm";
    s.summary = "Boost.Interprocess managed segment; all is shared, behind one mutex";
    s.origin = "libboost-dev";
    s.capabilities = SB_CAP_SHARE | SB_CAP_REMOTE_FREE | SB_CAP_REALLOC | SB_CAP_CHECK;
    s.media = SB_MEMFD | SB_SHM | SB_FILE;
    s.probe = boost_probe;
    s.create = boost_create;
    s.open = boost_open;
    s.attach = boost_attach;
    s.detach = boost_detach;
    s.destroy = boost_destroy;
    s.alloc = boost_alloc;
    s.free = boost_free;
    s.address = boost_address;
    s.usage = boost_usage;
    s.realloc = boost_realloc;
    s.check = boost_check;
    return s;
}

} // namespace

extern "C" {
extern const sb_subject sb_subject_boost_shm;
const sb_subject sb_subject_boost_shm = describe();
}
