// SPDX-License-Identifier: MIT
// Percentile text: see hist_text.h.
#include "harness/measure/hist_text.h"

#include <errno.h>
#include <math.h>

enum { LINES_PER_HALVING = 5 };

struct line {
    double level; // the percentile the line stands for, 0 .. 100
    uint64_t seen;
};

// The next percentile: a fifth of the way that remained at the last halving.
static double next_level(double level)
{
    double halvings = floor(log2(100 / (100 - level))) + 1;
    return level + 100 / (LINES_PER_HALVING * exp2(halvings));
}

static void write_line(FILE *file, double value, struct line line)
{
    fprintf(file, "%12.3f %.12f %10llu", value, line.level / 100,
            (unsigned long long)line.seen);
    if (line.level < 100) {
        fprintf(file, " %14.2f", 1 / (1 - line.level / 100));
    }
    fputc('\n', file);
}

static void write_levels(FILE *file, const struct sb_hist *hist, double scale)
{
    struct line line = {0, 0};
    uint64_t in_range = hist->count - hist->overflow;
    uint32_t slot = 0;
    for (; line.seen < in_range && sb_hist_next(hist, &slot) == 0; slot++) {
        line.seen += hist->slots[slot];
        uint64_t most = sb_hist_slot_most(slot);
        double value = (double)(most < hist->max ? most : hist->max) * scale;
        double reached = 100.0 * (double)line.seen / (double)hist->count;
        while (line.seen < hist->count && line.level <= reached) {
            write_line(file, value, line);
            line.level = next_level(line.level);
        }
    }
    if (hist->count > 0) {
        write_line(file, (double)hist->max * scale, (struct line){100, hist->count});
    }
}

// From the middle of each slot; beyond the range the maximum stands for all.
static double deviation(const struct sb_hist *hist, double mean)
{
    double squares = 0;
    for (uint32_t slot = 0; sb_hist_next(hist, &slot) == 0; slot++) {
        double middle =
            ((double)sb_hist_slot_least(slot) + (double)sb_hist_slot_most(slot)) / 2;
        squares += (middle - mean) * (middle - mean) * (double)hist->slots[slot];
    }
    double off = (double)hist->max - mean;
    squares += off * off * (double)hist->overflow;
    return hist->count > 0 ? sqrt(squares / (double)hist->count) : 0;
}

int sb_hist_write_hgrm(FILE *file, const struct sb_hist *hist, double scale)
{
    double mean = hist->count > 0 ? (double)hist->sum / (double)hist->count : 0;
    fprintf(file, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount",
            "1/(1-Percentile)");
    write_levels(file, hist, scale);
    fprintf(file, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", mean * scale,
            deviation(hist, mean) * scale);
    fprintf(file, "#[Max     = %12.3f, Total count    = %12llu]\n",
            (double)hist->max * scale, (unsigned long long)hist->count);
    fprintf(file, "#[Buckets = %12d, SubBuckets     = %12d]\n",
            SB_HIST_TOP_BITS - SB_HIST_SUB_BITS + 1, 2 * SB_HIST_HALF);
    errno = 0;
    if (fflush(file) != 0 || ferror(file)) {
        return errno != 0 ? -errno : -EIO;
    }
    return 0;
}
