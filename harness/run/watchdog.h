// SPDX-License-Identifier: MIT
// The watchdog: no trial may stand still for long, and who stood where is told.
//
// Built on: control.h, base/clock.h. Units: ns of sb_now_ns.
// Concurrency: the coordinator's; it reads the workers' counters relaxed.
// Why this way: the pulse is what workers write anyway (phase, steps, operations), so
// it
//   costs the measured step nothing.
#ifndef SB_RUN_WATCHDOG_H
#define SB_RUN_WATCHDOG_H

#include "harness/run/control.h"

struct sb_watchdog {
    struct sb_control *control;
    uint64_t timeout_ns; // without any pulse
    uint64_t limit_ns;   // in all
    uint64_t started_ns, changed_ns, pulse;
};

void sb_watchdog_start(struct sb_watchdog *watchdog, struct sb_control *control,
                       uint64_t timeout_ns, uint64_t limit_ns);
// Has the trial stood still, or lasted, for too long? Cost: one look at each worker.
bool sb_watchdog_expired(struct sb_watchdog *watchdog);
// "worker 0 in step 12 of 500, worker 1 in begin".
void sb_watchdog_describe(struct sb_control *control, char *text, size_t bytes);
// Where one worker is: "in step 12 of 500", "in begin".
void sb_watchdog_where(struct sb_control *control, uint32_t index, char *text,
                       size_t bytes);

#endif
