// SPDX-License-Identifier: MIT
// The watchdog.
//
// Built on: watchdog.h.
#include "harness/run/watchdog.h"

#include <stdio.h>

#include "harness/base/clock.h"

static uint64_t relaxed(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static uint64_t pulse_read(struct sb_control *control)
{
    uint64_t pulse = 0;
    for (uint32_t i = 0; i < control->workers; i++) {
        struct sb_slot *slot = sb_control_slot(control, i);
        const struct sb_counters *counters = &slot->record.counters;
        uint64_t mine = atomic_load_explicit(&slot->phase, memory_order_relaxed);
        mine = mine * 31 + relaxed(&counters->steps);
        mine = mine * 31 + relaxed(&counters->failures);
        mine = mine * 31 + relaxed(&counters->verified_bytes);
        for (uint32_t op = 0; op < SB_OPS; op++) {
            mine = mine * 31 + relaxed(&counters->ops[op]);
        }
        pulse = pulse * 1000003u + mine;
    }
    return pulse;
}

void sb_watchdog_start(struct sb_watchdog *watchdog, struct sb_control *control,
                       uint64_t timeout_ns, uint64_t limit_ns)
{
    uint64_t now = sb_now_ns();
    *watchdog = (struct sb_watchdog){
        .control = control,
        .timeout_ns = timeout_ns,
        .limit_ns = limit_ns,
        .started_ns = now,
        .changed_ns = now,
        .pulse = pulse_read(control),
    };
}

bool sb_watchdog_expired(struct sb_watchdog *watchdog)
{
    uint64_t now = sb_now_ns(), pulse = pulse_read(watchdog->control);
    if (pulse != watchdog->pulse) {
        watchdog->pulse = pulse;
        watchdog->changed_ns = now;
    }
    return now - watchdog->changed_ns > watchdog->timeout_ns ||
           now - watchdog->started_ns > watchdog->limit_ns;
}

void sb_watchdog_where(struct sb_control *control, uint32_t index, char *text,
                       size_t bytes)
{
    struct sb_slot *slot = sb_control_slot(control, index);
    unsigned phase = atomic_load_explicit(&slot->phase, memory_order_relaxed);
    if (phase == SB_PHASE_STEP) {
        snprintf(text, bytes, "in step %llu of %llu",
                 (unsigned long long)relaxed(&slot->record.counters.steps),
                 (unsigned long long)control->steps);
    } else {
        snprintf(text, bytes, "in %s",
                 phase < SB_PHASES ? sb_phase_names[phase] : "no known phase");
    }
}

void sb_watchdog_describe(struct sb_control *control, char *text, size_t bytes)
{
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < control->workers && used < bytes; i++) {
        char where[64];
        sb_watchdog_where(control, i, where, sizeof where);
        used += (size_t)snprintf(text + used, bytes - used, "%sworker %u %s",
                                 i ? ", " : "", i, where);
    }
}
