// SPDX-License-Identifier: MIT
// From the workers' slots to an outcome, and the memory time line of a timed trial.
//
// Built on: gather.h.
#include "harness/run/gather.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *const sb_status_names[] = {"ok", "na", "failed", "hung", "skipped", NULL};

enum {
    INTERVAL_LEAST_NS = 2000000,
    SAMPLES_WANTED = 100,
};

static uint64_t relaxed(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

void sb_memory_start(struct sb_memory *memory, struct sb_runner *runner)
{
    *memory = (struct sb_memory){.timeline = &runner->timeline};
    sb_timeline_reset(memory->timeline);
    memory->interval_ns = runner->plan->settings.trial_ns / SAMPLES_WANTED;
    if (memory->interval_ns < INTERVAL_LEAST_NS) {
        memory->interval_ns = INTERVAL_LEAST_NS;
    }
}

static struct sb_moment moment_take(struct sb_memory *memory,
                                    struct sb_control *control,
                                    const struct sb_segment *segment, uint64_t ticks)
{
    struct sb_moment moment = {
        .time_ns = ticks,
        .footprint_bytes = sb_segment_footprint(segment),
    };
    for (uint32_t i = 0; i < control->workers; i++) {
        const struct sb_counters *counters =
            &sb_control_slot(control, i)->record.counters;
        moment.requested_bytes += relaxed(&counters->requested_bytes);
        moment.steps += relaxed(&counters->steps);
    }
    // The workers' shares are read one after the other while they run: a block that one
    // allocates and another frees in between can take the sum below zero.
    if (moment.requested_bytes > INT64_MAX) {
        moment.requested_bytes = 0;
    }
    if (moment.footprint_bytes > memory->peak_footprint_bytes) {
        memory->peak_footprint_bytes = moment.footprint_bytes;
    }
    return moment;
}

void sb_memory_sample(struct sb_memory *memory, struct sb_control *control,
                      const struct sb_segment *segment)
{
    struct sb_moment moment = moment_take(memory, control, segment, sb_ticks());
    sb_timeline_add(memory->timeline, &moment);
}

void sb_memory_finish(struct sb_memory *memory, struct sb_control *control,
                      const struct sb_segment *segment, struct sb_outcome *outcome)
{
    uint64_t start = UINT64_MAX, end = 0;
    for (uint32_t i = 0; i < control->workers; i++) {
        const struct sb_record *record = &sb_control_slot(control, i)->record;
        start = record->start_ticks < start ? record->start_ticks : start;
        end = record->end_ticks > end ? record->end_ticks : end;
    }
    struct sb_moment *moments = memory->timeline->items;
    if (outcome->timed) {
        struct sb_moment last = moment_take(memory, control, segment, end);
        sb_timeline_end(memory->timeline, &last);
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < memory->timeline->count; i++) {
        struct sb_moment moment = moments[i];
        if (moment.time_ns >= start && moment.time_ns <= end) { // else before or after
            moment.time_ns = (uint64_t)sb_ticks_ns(moment.time_ns - start);
            moments[kept++] = moment;
        }
    }
    outcome->moments = moments;
    outcome->moments_count = kept;
    outcome->peak_footprint_bytes =
        memory->peak_footprint_bytes > outcome->footprint_bytes
            ? memory->peak_footprint_bytes
            : outcome->footprint_bytes;
}

void sb_outcome_init(struct sb_outcome *outcome, struct sb_runner *runner,
                     const struct sb_trial_spec *spec)
{
    *outcome = (struct sb_outcome){
        .trial_id = runner->trials,
        .timed = spec->timed,
        .plan = runner->plan,
        .cell = spec->cell,
        .arm = &runner->plan->arms[spec->arm],
        .status = SB_OK,
        .seed = spec->seed,
        .steps = spec->steps,
        .work_scale = spec->cell->pairings[spec->arm].work_scale,
        .ns_per_tick = sb_clock.ns_per_tick,
        .usage =
            {
                .footprint_bytes = SB_UNKNOWN,
                .table_bytes = SB_UNKNOWN,
                .usable_bytes = SB_UNKNOWN,
                .live_blocks = SB_UNKNOWN,
                .moved_bytes = SB_UNKNOWN,
                .moves = SB_UNKNOWN,
                .moves_cancelled = SB_UNKNOWN,
                .moves_pinned = SB_UNKNOWN,
                .returned_bytes = SB_UNKNOWN,
                .compactions = SB_UNKNOWN,
                .mover_ns = SB_UNKNOWN,
            },
    };
    for (uint32_t i = 0; i < SB_FIGURES_MOST; i++) {
        outcome->figures[i] = NAN;
    }
    int cpus = CPU_COUNT(&runner->cpus);
    if (cpus > 0 && (int)spec->cell->workers > cpus) {
        snprintf(outcome->detail, sizeof outcome->detail,
                 "%u workers on %d CPUs: latencies include waiting for a CPU",
                 spec->cell->workers, cpus);
    }
}

static void gather_hists(struct sb_outcome *outcome, struct sb_control *control,
                         struct sb_hist *const *room)
{
    for (uint32_t op = 0; op < SB_OPS; op++) {
        outcome->hist[op] = NULL;
        for (uint32_t i = 0; i < control->workers; i++) {
            const struct sb_hist *mine = &sb_control_slot(control, i)->record.hist[op];
            if (!outcome->timed || mine->count == 0) {
                continue; // reading it would allocate its pages
            }
            if (!outcome->hist[op]) {
                memset(room[op], 0, sizeof *room[op]);
                outcome->hist[op] = room[op];
            }
            sb_hist_merge(room[op], mine);
        }
    }
}

void sb_gather_steps(struct sb_outcome *outcome, struct sb_control *control,
                     const struct sb_segment *segment, struct sb_runner *runner)
{
    uint64_t start = UINT64_MAX, end = 0;
    double stamps_ns = 0;
    for (uint32_t i = 0; i < control->workers; i++) {
        const struct sb_slot *slot = sb_control_slot(control, i);
        const struct sb_record *record = &slot->record;
        const struct sb_counters *counters = &record->counters;
        struct sb_worker_outcome *worker = &runner->workers[i];
        start = record->start_ticks < start ? record->start_ticks : start;
        end = record->end_ticks > end ? record->end_ticks : end;
        *worker = (struct sb_worker_outcome){
            .wall_ns = (uint64_t)sb_ticks_ns(record->end_ticks - record->start_ticks),
            .steps = counters->steps,
            .covariates = slot->covariates,
            .cpu = slot->cpu,
        };
        for (uint32_t op = 0; op < SB_OPS; op++) {
            outcome->ops[op] += counters->ops[op];
            worker->ops += op == SB_OP_RESPONSE ? 0 : counters->ops[op];
        }
        for (uint32_t nth = 0; nth < SB_FIGURES_MOST; nth++) {
            if ((record->figures_set & 1u << nth) != 0) {
                outcome->figures[nth] = record->figures[nth];
            }
        }
        outcome->steps_done += counters->steps;
        outcome->failures += counters->failures;
        outcome->requested_bytes += counters->requested_bytes;
        stamps_ns += slot->stamp_ns;
    }
    outcome->wall_ns = (uint64_t)sb_ticks_ns(end - start);
    outcome->stamp_ns = stamps_ns / control->workers;
    outcome->workers = runner->workers;
    outcome->workers_count = control->workers;
    outcome->footprint_bytes = sb_segment_footprint(segment);
    gather_hists(outcome, control, runner->hist);
}

static void add_known(uint64_t *sum, uint64_t value)
{
    *sum = *sum == SB_UNKNOWN || value == SB_UNKNOWN ? SB_UNKNOWN : *sum + value;
}

void sb_gather_usage(struct sb_outcome *outcome, struct sb_control *control)
{
    bool each = (outcome->arm->subject->capabilities & SB_CAP_PRIVATE) != 0 &&
                !control->threads;
    struct sb_usage *sum = &outcome->usage;
    *sum = sb_control_slot(control, 0)->usage;
    for (uint32_t i = 1; each && i < control->workers; i++) {
        const struct sb_usage *mine = &sb_control_slot(control, i)->usage;
        add_known(&sum->footprint_bytes, mine->footprint_bytes);
        add_known(&sum->table_bytes, mine->table_bytes);
        add_known(&sum->usable_bytes, mine->usable_bytes);
        add_known(&sum->live_blocks, mine->live_blocks);
        add_known(&sum->moved_bytes, mine->moved_bytes);
        add_known(&sum->moves, mine->moves);
        add_known(&sum->moves_cancelled, mine->moves_cancelled);
        add_known(&sum->moves_pinned, mine->moves_pinned);
        add_known(&sum->returned_bytes, mine->returned_bytes);
        add_known(&sum->compactions, mine->compactions);
        add_known(&sum->mover_ns, mine->mover_ns);
    }
    if (outcome->arm->medium == 0) { // no segment to ask for its blocks
        outcome->footprint_bytes =
            sum->footprint_bytes == SB_UNKNOWN ? 0 : sum->footprint_bytes;
        outcome->peak_footprint_bytes = outcome->footprint_bytes;
    }
}

void sb_gather_verify(struct sb_outcome *outcome, struct sb_control *control)
{
    for (uint32_t i = 0; i < control->workers; i++) {
        outcome->verified_bytes +=
            sb_control_slot(control, i)->record.counters.verified_bytes;
    }
}
