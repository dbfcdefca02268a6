// SPDX-License-Identifier: MIT
// A run on the terminal: see table.h.
#include "harness/cli/table.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/text.h"

enum { LABEL = 16, CELL_TEXT = 48, WIDTH = 100 };

// What a line cannot hold, numbered in the order of first mention; each text once.
struct notes {
    char **texts;
    unsigned count;
    bool failed; // out of memory
};

static unsigned add_note(struct notes *notes, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// Returns the note's number, from 1.
static unsigned add_note(struct notes *notes, const char *format, ...)
{
    char *text;
    va_list arguments;
    va_start(arguments, format);
    int rc = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (rc < 0) {
        notes->failed = true;
        return 0;
    }
    for (unsigned i = 0; i < notes->count; i++) {
        if (strcmp(notes->texts[i], text) == 0) {
            free(text);
            return i + 1;
        }
    }
    char **more = realloc(notes->texts, (notes->count + 1) * sizeof *more);
    if (more == NULL) {
        free(text);
        notes->failed = true;
        return 0;
    }
    notes->texts = more;
    notes->texts[notes->count++] = text;
    return notes->count;
}

// Wraps between words, further lines indented as the mark is long; a word that is
// longer than a line stays whole.
static void print_wrapped(FILE *file, const char *mark, const char *text)
{
    size_t indent = strlen(mark) > 0 ? strlen(mark) : 2, column = strlen(mark);
    fputs(mark, file);
    for (bool first = true; *text != '\0'; first = false) {
        size_t word = strcspn(text, " ");
        if (!first && column + 1 + word > WIDTH) {
            fprintf(file, "\n%*s", (int)indent, "");
            column = indent;
        } else if (!first) {
            fputc(' ', file);
            column++;
        }
        fprintf(file, "%.*s", (int)word, text);
        column += word;
        text += word + (text[word] == ' ');
    }
    fputc('\n', file);
}

// Prints a label in its column, with the marks of its notes, or on a line of its own
// where both are too long for figures to follow in their columns.
static void print_label(FILE *file, const char *label, const unsigned *marks,
                        unsigned marks_count, bool figures)
{
    char text[128];
    int used = snprintf(text, sizeof text, "%s", label);
    for (unsigned i = 0; i < marks_count; i++) {
        used += snprintf(text + used, sizeof text - (size_t)used, "(%u)", marks[i]);
    }
    bool fits = used <= LABEL || !figures;
    fprintf(file, fits ? "  %-*s" : "  %-*s\n  %*s", LABEL, text, LABEL, "");
}

static const char *ns_text(double value, char *text)
{
    return isnan(value) ? "-" : sb_format_ns(value, text, CELL_TEXT);
}

static const char *percent_text(double share, char *text)
{
    if (isnan(share)) {
        return "-";
    }
    if (share >= 9.995) {
        return ">999%";
    }
    snprintf(text, CELL_TEXT, share < 0.0995 && share >= 0.0005 ? "%.1f%%" : "%.0f%%",
             share * 100);
    return text;
}

static const char *ratio_text(double ratio, char *text)
{
    if (isnan(ratio)) {
        return "-";
    }
    snprintf(text, CELL_TEXT,
             ratio < 9.995   ? "%.2f"
             : ratio < 99.95 ? "%.1f"
                             : "%.0f",
             ratio);
    return text;
}

static const char *bytes_text(double value, char *text)
{
    return isnan(value) ? "-" : sb_format_bytes(value, text, CELL_TEXT);
}

static double median(const struct sb_tally_entry *entry, size_t offset)
{
    return sb_tally_quantile(entry, offset, 0.5);
}

#define MEDIAN(entry, member) median(entry, offsetof(struct sb_tally_trial, member))

// Operations shown, the main ones first; the others only where there are none of these.
static const enum sb_op main_ops[] = {SB_OP_ALLOC,   SB_OP_ACCESS,  SB_OP_LOCK,
                                      SB_OP_REALLOC, SB_OP_COMPACT, SB_OP_RESPONSE};
static const enum sb_op other_ops[] = {SB_OP_FREE, SB_OP_UNLOCK, SB_OP_WAIT,
                                       SB_OP_OTHER};
enum { MAIN_OPS = 6, OTHER_OPS = 4 };

static unsigned ops_with_records(const struct sb_tally_entry *entry,
                                 const enum sb_op *from, unsigned count,
                                 enum sb_op *ops)
{
    unsigned used = 0;
    for (unsigned i = 0; i < count; i++) {
        if (entry->latency[from[i]].count > 0) {
            ops[used++] = from[i];
        }
    }
    return used;
}

static const char *quantile_text(const struct sb_tally_entry *entry, enum sb_op op,
                                 double quantile, char *text)
{
    uint64_t ticks;
    if (sb_merged_quantile(&entry->latency[op], quantile, &ticks) != 0) {
        return "-";
    }
    return ns_text((double)ticks * entry->ns_per_tick, text);
}

static void print_latency(FILE *file, const struct sb_tally_entry *entry, enum sb_op op)
{
    char text[4][CELL_TEXT];
    fprintf(file, " %-8s %7s %7s %7s %7s", sb_op_names[op],
            quantile_text(entry, op, 0.5, text[0]),
            quantile_text(entry, op, 0.99, text[1]),
            quantile_text(entry, op, 0.999, text[2]),
            ns_text((double)entry->latency[op].max * entry->ns_per_tick, text[3]));
}

static void print_figures(FILE *file, const struct sb_tally_entry *entry,
                          const struct sb_tally_entry *base)
{
    char text[6][CELL_TEXT];
    enum sb_op ops[SB_OPS];
    size_t step = offsetof(struct sb_tally_trial, step_ns);
    double middle = median(entry, step);
    double spread =
        (sb_tally_quantile(entry, step, 0.75) - sb_tally_quantile(entry, step, 0.25)) /
        middle;
    // Of fewer than four trials there are no quartiles.
    fprintf(file, " %8s %5s %5s", ns_text(middle, text[0]),
            percent_text(entry->trials_count < 4 ? NAN : spread, text[1]),
            base != NULL ? ratio_text(sb_tally_ratio(entry, base), text[2]) : "-");
    unsigned count = ops_with_records(entry, main_ops, MAIN_OPS, ops);
    if (count == 0) {
        count = ops_with_records(entry, other_ops, OTHER_OPS, ops);
    }
    if (count == 0) {
        fprintf(file, " %-8s %7s %7s %7s %7s", "-", "-", "-", "-", "-");
    } else {
        print_latency(file, entry, ops[0]);
    }
    fprintf(file, " %5s %4s %8s\n", ratio_text(MEDIAN(entry, footprint_ratio), text[3]),
            percent_text(MEDIAN(entry, lock_wait_share), text[4]),
            bytes_text(MEDIAN(entry, moved_bytes), text[5]));
    for (unsigned i = 1; i < count; i++) {
        fprintf(file, "  %*s %8s %5s %5s", LABEL, "", "", "", "");
        print_latency(file, entry, ops[i]);
        fputc('\n', file);
    }
}

// The workload's own figures, medians over the trials. 0: it has none, or no trial.
static unsigned note_workload(struct notes *notes, const struct sb_tally_entry *entry,
                              const struct sb_cell *cell, const struct sb_arm *arm)
{
    const char *const *names = cell->workload->figures;
    char text[256] = "";
    size_t used = 0;
    for (uint32_t i = 0; names != NULL && names[i] != NULL; i++) {
        size_t member = offsetof(struct sb_tally_trial, figures) + i * sizeof(double);
        double middle = median(entry, member);
        if (!isnan(middle) && used < sizeof text) {
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s %.4g",
                                     used > 0 ? ", " : "", names[i], middle);
        }
    }
    return used > 0 ? add_note(notes, "%s on %s: %s (medians)", arm->label,
                               cell->section, text)
                    : 0;
}

// Why a pair has no figures, or what must be known beside them. Returns how many marks.
static unsigned note_entry(struct notes *notes, const struct sb_tally *tally,
                           uint32_t cell_index, uint32_t arm_index, unsigned *marks)
{
    const struct sb_tally_entry *entry = sb_tally_at(tally, cell_index, arm_index);
    const struct sb_cell *cell = &tally->plan->cells[cell_index];
    const struct sb_arm *arm = &tally->plan->arms[arm_index];
    char text[CELL_TEXT];
    unsigned used = 0;
    const char *detail = entry->detail[0] != '\0' ? entry->detail
                         : cell->pairings[arm_index].reason[0] != '\0'
                             ? cell->pairings[arm_index].reason
                             : "no reason was recorded";
    if (entry->incorrect > 0) {
        marks[used++] = add_note(notes, "%s on %s: INCORRECT: %s", arm->label,
                                 cell->section, detail);
    } else if (entry->failed + entry->hung > 0) {
        marks[used++] =
            add_note(notes, "%s on %s: %s: %s", arm->label, cell->section,
                     entry->hung > 0 ? "a trial hung" : "a trial failed", detail);
    } else if (entry->trials_count == 0 && entry->measured == 0 && entry->na > 0) {
        marks[used++] = add_note(notes, "%s: %s", arm->label, detail);
    }
    // One that sizes its segment fills it until it refuses: that is how it is done.
    if (entry->refused > 0 && cell->workload->segment_bytes == NULL) {
        marks[used++] = add_note(
            notes, "%s on %s: %s allocations were refused over all kept trials",
            arm->label, cell->section,
            sb_format_count((double)entry->refused, text, sizeof text));
    }
    if (entry->trials_count > 0 && entry->work_scale < 1) {
        marks[used++] = add_note(notes, "%s on %s: did %.3g of the steps of the others",
                                 arm->label, cell->section, entry->work_scale);
    }
    unsigned mark = note_workload(notes, entry, cell, arm);
    if (mark > 0) {
        marks[used++] = mark;
    }
    return used;
}

static bool has_figures(const struct sb_tally_entry *entry)
{
    if (entry->trials_count > 0) {
        return true;
    }
    for (int op = 0; op < SB_OPS; op++) {
        if (entry->latency[op].count > 0) {
            return true;
        }
    }
    return false;
}

static const char *word_for(const struct sb_tally_entry *entry)
{
    return entry->incorrect > 0  ? "INCORRECT"
           : entry->hung > 0     ? "hung"
           : entry->failed > 0   ? "failed"
           : entry->na > 0       ? "n/a"
           : entry->measured > 0 ? "only rounds that do not count"
                                 : "not measured";
}

static void print_heading(FILE *file, const struct sb_tally *tally, uint32_t index)
{
    const struct sb_cell *cell = &tally->plan->cells[index];
    bool threads = tally->plan->settings.as == SB_AS_THREADS;
    const char *plural = cell->workers == 1 ? "" : threads ? "s" : "es";
    char steps[CELL_TEXT], text[600];
    cpu_set_t cpus;
    bool crowded = sched_getaffinity(0, sizeof cpus, &cpus) == 0 &&
                   cell->workers > (uint32_t)CPU_COUNT(&cpus);
    snprintf(text, sizeof text, "%s%s%s  %u %s%s, %s step%s each%s", cell->section,
             cell->set[0] != '\0' ? "  " : "", cell->set, cell->workers,
             threads ? "thread" : "process", plural,
             sb_format_count((double)cell->steps, steps, sizeof steps),
             cell->steps == 1 ? "" : "s",
             crowded ? " (workers > CPUs: waiting for a CPU is within)" : "");
    print_wrapped(file, "", text);
    fprintf(file, "  %-*s %8s %5s %5s %-8s %7s %7s %7s %7s %5s %4s %8s\n", LABEL,
            "subject", "step", "iqr", "ratio", "op", "p50", "p99", "p99.9", "max",
            "f/l", "wait", "moved");
}

// The first subject with figures that keeps contents: a ratio to one that does nothing
// tells nobody what to choose. Where there is none, the first with figures.
static const struct sb_tally_entry *base_of(const struct sb_tally *tally, uint32_t cell)
{
    const struct sb_plan *plan = tally->plan;
    const struct sb_tally_entry *floor = NULL;
    for (uint32_t arm = 0; arm < plan->arms_count; arm++) {
        const struct sb_tally_entry *entry = sb_tally_at(tally, cell, arm);
        if (entry->trials_count == 0) {
            continue;
        }
        if ((plan->arms[arm].subject->capabilities & SB_CAP_FORGETS) == 0) {
            return entry;
        }
        floor = floor != NULL ? floor : entry;
    }
    return floor;
}

static void print_cell(FILE *file, const struct sb_tally *tally, uint32_t index,
                       struct notes *notes)
{
    const struct sb_plan *plan = tally->plan;
    const struct sb_tally_entry *base = base_of(tally, index);
    print_heading(file, tally, index);
    for (uint32_t arm = 0; arm < plan->arms_count; arm++) {
        const struct sb_tally_entry *entry = sb_tally_at(tally, index, arm);
        unsigned marks[5];
        unsigned marks_count = note_entry(notes, tally, index, arm, marks);
        print_label(file, plan->arms[arm].label, marks, marks_count,
                    has_figures(entry));
        if (has_figures(entry)) {
            print_figures(file, entry, base);
        } else {
            fprintf(file, " %s\n", word_for(entry));
        }
    }
    fputc('\n', file);
}

// What one stamp cost, over all that had stamps: it is within each latency.
static void print_legend(FILE *file, const struct sb_tally *tally)
{
    const struct sb_plan *plan = tally->plan;
    size_t count = (size_t)plan->cells_count * plan->arms_count;
    double least = INFINITY, most = 0;
    for (size_t i = 0; i < count; i++) {
        double stamp = tally->entries[i].stamp_ns;
        if (stamp > 0) {
            least = fmin(least, stamp);
            most = fmax(most, stamp);
        }
    }
    fprintf(
        file,
        "step   a worker's time for one step, median over the rounds; "
        "iqr: between quartiles, of it\n"
        "ratio  of the step to that of the first subject that keeps contents, paired "
        "by round, median\n");
    if (plan->settings.verify) {
        fprintf(file,
                "verify filling and comparing contents is within the step (not of "
                "subjects that keep none)\n");
    }
    if (most > 0) {
        fprintf(file,
                "p50..  latency; each includes a time stamp's own %.1f to %.1f ns; -: "
                "under 10 samples beyond\n",
                least, most);
    }
    fprintf(file, "f/l    footprint / live bytes, from 64 KiB live on; wait: share of "
                  "time waiting for locks\n");
}

int sb_table_print(FILE *file, const struct sb_tally *tally)
{
    struct notes notes = {0};
    for (uint32_t cell = 0; cell < tally->plan->cells_count; cell++) {
        print_cell(file, tally, cell, &notes);
    }
    print_legend(file, tally);
    for (unsigned i = 0; i < notes.count; i++) {
        char mark[16];
        snprintf(mark, sizeof mark, "(%u) ", i + 1);
        print_wrapped(file, mark, notes.texts[i]);
        free(notes.texts[i]);
    }
    free(notes.texts);
    return notes.failed ? -ENOMEM : 0;
}
