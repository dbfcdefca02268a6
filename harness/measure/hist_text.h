// SPDX-License-Identifier: MIT
// A histogram as HdrHistogram's percentile text, which its plotters and readers take.
//
// Built on: histogram.h. Concurrency: reads the histogram; its writer must be done.
// Source: the .hgrm format of HdrHistogram's outputPercentileDistribution.
#ifndef SB_MEASURE_HIST_TEXT_H
#define SB_MEASURE_HIST_TEXT_H

#include <stdio.h>

#include "harness/measure/histogram.h"

// Writes values times `scale` (ns_per_tick for a histogram in ticks) with five lines
// each time the distance to 100 % halves. An empty histogram gives heading and footer.
// Records beyond the range count in the last lines, whose value is the exact maximum.
// Errors: -EIO or the stream's errno.
int sb_hist_write_hgrm(FILE *file, const struct sb_hist *hist, double scale);

#endif
