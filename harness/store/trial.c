// SPDX-License-Identifier: MIT
// One outcome as one line of trials.ndjson: see trial.h.
#include "harness/store/trial.h"

#include <math.h>
#include <string.h>

#include "harness/store/words.h"

enum { SCHEMA = 1 };

static const char *or_null(const char *text)
{
    return text != NULL && text[0] != '\0' ? text : NULL;
}

// Which trial this is, and how it ended.
static void emit_identity(struct sb_emit *emit, const struct sb_outcome *outcome)
{
    const struct sb_plan *plan = outcome->plan;
    const struct sb_cell *cell = outcome->cell;
    const struct sb_arm *arm = outcome->arm;
    sb_emit_whole(emit, "trial_id", outcome->trial_id);
    sb_emit_signed(emit, "round", outcome->round);
    sb_emit_whole(emit, "position", outcome->position);
    sb_emit_string(emit, "arm", arm->label);
    sb_emit_whole(emit, "cell", (uint64_t)(cell - plan->cells));
    sb_emit_string(emit, "section", cell->section);
    sb_emit_bool(emit, "kept", outcome->kept);
    const char *reason = or_null(outcome->reason);
    sb_emit_string(emit, "reason",
                   outcome->kept    ? ""
                   : reason != NULL ? reason
                                    : sb_status_names[outcome->status]);
    sb_emit_bool(emit, "timed", outcome->timed);
    sb_emit_bool(emit, "control", arm->control);
    sb_emit_string(emit, "subject", arm->subject->name);
    sb_emit_string(emit, "subject_version", or_null(arm->version));
    sb_emit_string(emit, "workload", cell->workload->name);
    sb_emit_options(emit, "options", cell->workload->options, cell->options);
    sb_emit_options(emit, "subject_options", arm->subject->options, arm->options);
    sb_emit_string(emit, "set", cell->set);
    sb_emit_whole(emit, "workers", cell->workers);
    sb_emit_string(emit, "as", sb_as_names[plan->settings.as]);
    sb_emit_whole(emit, "seed", outcome->seed);
    sb_emit_whole(emit, "work", outcome->steps);
    sb_emit_real(emit, "work_scale", outcome->work_scale);
    sb_emit_string(emit, "status", sb_status_names[outcome->status]);
    sb_emit_bool(emit, "incorrect", outcome->incorrect);
    sb_emit_string(emit, "detail", outcome->detail);
    sb_emit_whole(emit, "segment_bytes", outcome->segment_bytes);
}

static uint64_t sum_ops(const struct sb_outcome *outcome)
{
    uint64_t ops = 0;
    for (int op = 0; op < SB_OPS; op++) {
        ops += op == SB_OP_WAIT || op == SB_OP_RESPONSE ? 0 : outcome->ops[op];
    }
    return ops;
}

static void emit_quantile(struct sb_emit *emit, const char *key,
                          const struct sb_hist *hist, double quantile,
                          double ns_per_tick)
{
    uint64_t value;
    if (sb_hist_quantile(hist, quantile, &value) != 0) {
        sb_emit_null(emit, key);
        return;
    }
    // A slot's highest value may lie above all that were recorded.
    value = value < hist->max ? value : hist->max;
    sb_emit_ns(emit, key, (double)value * ns_per_tick);
}

static void emit_pair(struct sb_emit *emit, double value, uint64_t count)
{
    sb_emit_open(emit, NULL, '[');
    sb_emit_ns(emit, NULL, value);
    sb_emit_whole(emit, NULL, count);
    sb_emit_close(emit, ']');
}

// What sb_emit_ns makes of a value, so that slots it cannot tell apart share a pair.
static double shown_ns(double value)
{
    return value < 1000 ? round(value * 10) / 10 : round(value);
}

static void emit_hist(struct sb_emit *emit, const struct sb_hist *hist,
                      double ns_per_tick)
{
    double pending = -1;
    uint64_t count = 0;
    sb_emit_open(emit, "hist", '[');
    for (uint32_t slot = 0; sb_hist_next(hist, &slot) == 0; slot++) {
        double value = shown_ns((double)sb_hist_slot_most(slot) * ns_per_tick);
        if (value > pending && count > 0) {
            emit_pair(emit, pending, count);
            count = 0;
        }
        pending = value;
        count += hist->slots[slot];
    }
    if (count > 0) {
        emit_pair(emit, pending, count);
    }
    sb_emit_close(emit, ']');
}

static void emit_latency(struct sb_emit *emit, const struct sb_outcome *outcome)
{
    double rate = outcome->ns_per_tick;
    sb_emit_open(emit, "latency", '{');
    for (int op = 0; op < SB_OPS && outcome->timed; op++) {
        const struct sb_hist *hist = outcome->hist[op];
        if (hist == NULL || hist->count == 0) {
            continue;
        }
        sb_emit_open(emit, sb_op_names[op], '{');
        sb_emit_whole(emit, "count", hist->count);
        sb_emit_ns(emit, "mean", (double)hist->sum / (double)hist->count * rate);
        emit_quantile(emit, "p50", hist, 0.5, rate);
        emit_quantile(emit, "p90", hist, 0.9, rate);
        emit_quantile(emit, "p99", hist, 0.99, rate);
        emit_quantile(emit, "p999", hist, 0.999, rate);
        sb_emit_ns(emit, "max", (double)hist->max * rate);
        sb_emit_whole(emit, "overflow", hist->overflow);
        emit_hist(emit, hist, rate);
        sb_emit_close(emit, '}');
    }
    sb_emit_close(emit, '}');
}

static void emit_counts(struct sb_emit *emit, const struct sb_outcome *outcome)
{
    const struct sb_usage *usage = &outcome->usage;
    sb_emit_open(emit, "counts", '{');
    for (int op = 0; op < SB_OPS; op++) {
        sb_emit_known(emit, sb_op_names[op], outcome->ops[op]);
    }
    sb_emit_known(emit, "live_blocks", usage->live_blocks);
    sb_emit_known(emit, "moved_bytes", usage->moved_bytes);
    sb_emit_known(emit, "moves", usage->moves);
    sb_emit_known(emit, "moves_cancelled", usage->moves_cancelled);
    sb_emit_known(emit, "moves_pinned", usage->moves_pinned);
    sb_emit_known(emit, "returned_bytes", usage->returned_bytes);
    sb_emit_known(emit, "compactions", usage->compactions);
    sb_emit_known(emit, "mover_ns", usage->mover_ns);
    sb_emit_close(emit, '}');
}

// What the workload found out, by the names in its descriptor.
static void emit_figures(struct sb_emit *emit, const struct sb_outcome *outcome)
{
    const char *const *names = outcome->cell->workload->figures;
    sb_emit_open(emit, "figures", '{');
    for (uint32_t i = 0; names != NULL && names[i] != NULL; i++) {
        sb_emit_real(emit, names[i], outcome->figures[i]);
    }
    sb_emit_close(emit, '}');
}

static void emit_locks(struct sb_emit *emit, const struct sb_outcome *outcome)
{
    sb_emit_open(emit, "locks", '[');
    for (uint32_t i = 0; i < outcome->usage.locks_count && i < SB_LOCKS_MAX; i++) {
        const struct sb_lock_usage *lock = &outcome->usage.locks[i];
        sb_emit_open(emit, NULL, '{');
        sb_emit_string(emit, "name", lock->name);
        sb_emit_known(emit, "acquisitions", lock->acquisitions);
        sb_emit_known(emit, "contended", lock->contended);
        sb_emit_known(emit, "wait_ns", lock->wait_ns);
        sb_emit_known(emit, "longest_wait_ns", lock->longest_wait_ns);
        sb_emit_known(emit, "hold_ns", lock->hold_ns);
        sb_emit_known(emit, "longest_hold_ns", lock->longest_hold_ns);
        sb_emit_close(emit, '}');
    }
    sb_emit_close(emit, ']');
}

static void emit_series_of(struct sb_emit *emit, const char *key, size_t offset,
                           const struct sb_outcome *outcome)
{
    sb_emit_open(emit, key, '[');
    for (uint32_t i = 0; i < outcome->moments_count; i++) {
        uint64_t value;
        memcpy(&value, (const char *)&outcome->moments[i] + offset, sizeof value);
        sb_emit_whole(emit, NULL, value);
    }
    sb_emit_close(emit, ']');
}

static void emit_series(struct sb_emit *emit, const struct sb_outcome *outcome)
{
    sb_emit_open(emit, "series", '{');
    if (outcome->moments_count > 0) {
        emit_series_of(emit, "time_ns", offsetof(struct sb_moment, time_ns), outcome);
        emit_series_of(emit, "footprint_bytes",
                       offsetof(struct sb_moment, footprint_bytes), outcome);
        emit_series_of(emit, "requested_bytes",
                       offsetof(struct sb_moment, requested_bytes), outcome);
        emit_series_of(emit, "steps", offsetof(struct sb_moment, steps), outcome);
    }
    sb_emit_close(emit, '}');
}

static void emit_self(struct sb_emit *emit, const struct sb_self_covariates *self)
{
    sb_emit_known(emit, "run_delay_ns", self->run_delay_ns);
    sb_emit_known(emit, "voluntary_switches", self->voluntary_switches);
    sb_emit_known(emit, "involuntary_switches", self->involuntary_switches);
    sb_emit_known(emit, "minor_faults", self->minor_faults);
    sb_emit_known(emit, "major_faults", self->major_faults);
    sb_emit_known(emit, "user_ns", self->user_ns);
    sb_emit_known(emit, "system_ns", self->system_ns);
}

// One that a worker could not read is unknown in all.
static void add_known(uint64_t *sum, uint64_t part)
{
    *sum = *sum == SB_COVARIATE_UNKNOWN || part == SB_COVARIATE_UNKNOWN
               ? SB_COVARIATE_UNKNOWN
               : *sum + part;
}

static void emit_covariates(struct sb_emit *emit, const struct sb_outcome *outcome)
{
    struct sb_self_covariates sum = {0};
    for (uint32_t i = 0; i < outcome->workers_count; i++) {
        const struct sb_self_covariates *self = &outcome->workers[i].covariates;
        add_known(&sum.run_delay_ns, self->run_delay_ns);
        add_known(&sum.voluntary_switches, self->voluntary_switches);
        add_known(&sum.involuntary_switches, self->involuntary_switches);
        add_known(&sum.minor_faults, self->minor_faults);
        add_known(&sum.major_faults, self->major_faults);
        add_known(&sum.user_ns, self->user_ns);
        add_known(&sum.system_ns, self->system_ns);
    }
    sb_emit_open(emit, "covariates", '{');
    sb_emit_known(emit, "steal_ms", outcome->covariates.steal_ms);
    sb_emit_known(emit, "psi_cpu_us", outcome->covariates.psi_cpu_us);
    sb_emit_known(emit, "psi_memory_us", outcome->covariates.psi_memory_us);
    emit_self(emit, &sum);
    sb_emit_close(emit, '}');

    sb_emit_open(emit, "workers_detail", '[');
    for (uint32_t i = 0; i < outcome->workers_count; i++) {
        const struct sb_worker_outcome *worker = &outcome->workers[i];
        sb_emit_open(emit, NULL, '{');
        sb_emit_whole(emit, "wall_ns", worker->wall_ns);
        sb_emit_whole(emit, "steps", worker->steps);
        sb_emit_whole(emit, "ops", worker->ops);
        sb_emit_known(emit, "cpu",
                      worker->cpu < 0 ? SB_UNKNOWN : (uint64_t)worker->cpu);
        sb_emit_open(emit, "covariates", '{');
        emit_self(emit, &worker->covariates);
        sb_emit_close(emit, '}');
        sb_emit_close(emit, '}');
    }
    sb_emit_close(emit, ']');
}

void sb_trial_emit(struct sb_emit *emit, const char *run_id,
                   const struct sb_outcome *outcome)
{
    // A pair that was never tried has no figures, not figures of zero.
    bool tried = outcome->status != SB_NA && outcome->status != SB_SKIPPED;
    struct sb_outcome shown = *outcome;
    if (!tried) {
        memset(&shown.usage, 0xff, sizeof shown.usage);
        memset(shown.ops, 0xff, sizeof shown.ops);
        shown.usage.locks_count = shown.workers_count = shown.moments_count = 0;
        shown.timed = false;
        shown.footprint_bytes = shown.peak_footprint_bytes = SB_UNKNOWN;
        shown.requested_bytes = shown.verified_bytes = SB_UNKNOWN;
    }
    sb_emit_open(emit, NULL, '{');
    sb_emit_whole(emit, "schema", SCHEMA);
    sb_emit_string(emit, "run_id", run_id);
    emit_identity(emit, outcome);
    sb_emit_known(emit, "wall_ns", tried ? shown.wall_ns : SB_UNKNOWN);
    sb_emit_known(emit, "total_ns", tried ? shown.total_ns : SB_UNKNOWN);
    sb_emit_known(emit, "steps", tried ? shown.steps_done : SB_UNKNOWN);
    sb_emit_known(emit, "ops", tried ? sum_ops(&shown) : SB_UNKNOWN);
    sb_emit_known(emit, "failures", tried ? shown.failures : SB_UNKNOWN);
    emit_latency(emit, &shown);
    sb_emit_real(emit, "stamp_ns", shown.timed ? shown.stamp_ns : NAN);
    emit_counts(emit, &shown);
    emit_figures(emit, &shown);
    emit_locks(emit, &shown);
    sb_emit_known(emit, "footprint_bytes", shown.footprint_bytes);
    sb_emit_known(emit, "peak_footprint_bytes", shown.peak_footprint_bytes);
    sb_emit_known(emit, "requested_bytes", shown.requested_bytes);
    sb_emit_known(emit, "usable_bytes", shown.usage.usable_bytes);
    sb_emit_known(emit, "table_bytes", shown.usage.table_bytes);
    sb_emit_known(emit, "verified_bytes", shown.verified_bytes);
    emit_series(emit, &shown);
    emit_covariates(emit, &shown);
    sb_emit_close(emit, '}');
}
