// SPDX-License-Identifier: MIT
// The barrier between the phases of a trial: workers arrive, the coordinator opens the
// gate.
//
// Built on: control.h, futex(2), eventfd(2). Units: none. Concurrency: as named.
// Why this way: the coordinator has work to do between phases (reading footprints) and
//   must notice a death at once, so it waits in poll(2) on an event descriptor and the
//   workers' pidfds; the workers wait on a futex, which costs them nothing while
//   closed.
#ifndef SB_RUN_BARRIER_H
#define SB_RUN_BARRIER_H

#include "harness/run/control.h"

// Worker: this phase is done. The last to arrive wakes the coordinator.
void sb_barrier_arrive(struct sb_control *control, int event_fd);
// Worker: waits until `phase` may be entered. -ECANCELED once the trial is called off.
int sb_barrier_enter(struct sb_control *control, enum sb_phase phase);
// Worker: waits until all workers stand here, so that they start together.
int sb_barrier_start(struct sb_control *control);

// Coordinator: lets workers enter all phases up to `phase`.
void sb_barrier_open(struct sb_control *control, enum sb_phase phase);
// Coordinator: calls the trial off and wakes whoever waits.
void sb_barrier_cancel(struct sb_control *control);

#endif
