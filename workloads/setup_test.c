// SPDX-License-Identifier: MIT
// Trials for tests: see setup.h.
//
// Built on: setup.h, the registries. Concurrency: none.
#include "workloads/setup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "allocator/subjects/subjects.h"
#include "workloads/workloads.h"

const struct sb_subject *setup_subject(const char *name)
{
    const struct sb_subject *found = NULL;
    char text[256];
    if (sb_subject_find(name, &found, NULL) != 0 ||
        found->probe(text, sizeof text) != 0) {
        return NULL;
    }
    return found;
}

const struct sb_workload *setup_workload(const char *name)
{
    const struct sb_workload *found = NULL;
    assert_int_equal(sb_workload_find(name, &found, NULL), 0);
    return found;
}

bool setup_suits(const struct sb_workload *each, const struct sb_subject *on)
{
    uint32_t needs = each->needs & ~(uint32_t)(SB_NEED_EXCHANGE | SB_NEED_CONTENTS);
    bool forgets = (on->capabilities & SB_CAP_FORGETS) != 0;
    return (needs & ~on->capabilities) == 0 &&
           !((each->needs & SB_NEED_CONTENTS) != 0 && forgets);
}

void setup_shrink(struct bed_setup *setup)
{
    const char *name = setup->workload->name;
    if (strcmp(name, "mix") == 0) {
        setup->sets[0] = "live=500";
    } else if (strcmp(name, "prodcon") == 0) {
        setup->sets[0] = "batch=64";
        setup->sets[1] = "most=2048";
    } else if (strcmp(name, "article_demo") == 0) {
        setup->sets[0] = "list=50";
    } else if (strcmp(name, "lock_sweep") == 0) {
        setup->sets[0] = "hot=3";
        setup->sets[1] = "hold=200ns";
        setup->sets[2] = "think=100ns";
    } else if (strcmp(name, "compact_cost") == 0) {
        setup->sets[0] = "fill=256K";
        setup->sets[1] = "least=64";
        setup->sets[2] = "pinned=10%";
        setup->steps = setup->steps < 8 ? setup->steps : 8;
    } else if (strcmp(name, "frag_aging") == 0) {
        setup->sets[0] = "live=64K";
        setup->sets[1] = "spread=50%";
        setup->sets[2] = "phases=3";
        setup->sets[3] = "final_compact=yes";
        setup->steps = setup->steps < 8 ? setup->steps : 8;
    } else if (strcmp(name, "frag_then_big") == 0) {
        setup->sets[0] = "heap=4M";
        setup->sets[1] = "least=512";
        setup->sets[2] = "compact=yes";
        setup->steps = setup->steps < 2 ? setup->steps : 2;
    } else if (strcmp(name, "compact_online") == 0) {
        setup->sets[0] = "slots=500";
        setup->sets[1] = "budget=64K";
    }
}

void setup_assert_ran(const struct bed_setup *setup, const struct bed_result *result)
{
    if (result->rc != 0) {
        print_error("%s on %s, %u workers: %s: %s (%d)\n", setup->workload->name,
                    setup->subject->name, setup->workers, result->phase,
                    result->error.text, result->rc);
    }
    assert_int_equal(result->rc, 0);
    assert_int_equal(result->counters.steps, setup->steps * setup->workers);
    // A workload that sizes its segment is about a full one.
    bool full = setup->workload->segment_bytes != NULL;
    assert_int_equal(result->counters.failures != 0, full);
    const char *const *figures = setup->workload->figures;
    for (uint32_t i = 0; figures != NULL && figures[i] != NULL; i++) {
        assert_true((result->figures_set & 1u << i) != 0);
    }
}
