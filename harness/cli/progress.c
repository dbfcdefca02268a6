// SPDX-License-Identifier: MIT
// How far a run is: see progress.h.
#include "harness/cli/progress.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "harness/base/clock.h"

enum { BAR = 20, LINE = 200, COLUMNS = 80 };
#define TERMINAL_NS  UINT64_C(100000000)
#define ELSEWHERE_NS UINT64_C(60000000000)
#define SECOND_NS    UINT64_C(1000000000)

void sb_progress_start(struct sb_progress_view *view, FILE *file)
{
    *view = (struct sb_progress_view){.file = file};
    if (file == NULL) {
        return;
    }
    const char *term = getenv("TERM");
    view->terminal =
        isatty(fileno(file)) && (term == NULL || strcmp(term, "dumb") != 0);
    view->next_ns = view->terminal ? 0 : sb_now_ns() + ELSEWHERE_NS;
}

static unsigned columns_of(FILE *file)
{
    struct winsize size;
    bool known = ioctl(fileno(file), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return known ? size.ws_col : COLUMNS;
}

void sb_progress_show(struct sb_progress_view *view, const struct sb_progress *progress)
{
    uint64_t now = sb_now_ns();
    if (view->file == NULL || now < view->next_ns) {
        return;
    }
    view->next_ns = now + (view->terminal ? TERMINAL_NS : ELSEWHERE_NS);
    double share =
        progress->total > 0 ? (double)progress->done / (double)progress->total : 0;
    share = share > 1 ? 1 : share;
    uint64_t left = (progress->left_ns + SECOND_NS - 1) / SECOND_NS;
    char what[120] = "", line[LINE];
    if (progress->cell != NULL && progress->arm != NULL) {
        snprintf(what, sizeof what, "%s x%u: %s", progress->cell->section,
                 progress->cell->workers, progress->arm->label);
    }
    if (!view->terminal) {
        fprintf(view->file, "shmbench: %s %.0f%%, %" PRIu64 ":%02" PRIu64 " left, %s\n",
                progress->phase, share * 100, left / 60, left % 60, what);
        return;
    }
    char bar[BAR + 1];
    for (int i = 0; i < BAR; i++) {
        bar[i] = i < (int)(share * BAR) ? '#' : '.';
    }
    bar[BAR] = '\0';
    snprintf(line, sizeof line, "[%s] %3.0f%% %" PRIu64 ":%02" PRIu64 " left  %s  %s",
             bar, share * 100, left / 60, left % 60, progress->phase, what);
    // A line that wraps could not be taken back.
    unsigned columns = columns_of(view->file);
    if (columns < sizeof line) {
        line[columns - 1] = '\0';
    }
    fprintf(view->file, "\r\033[K%s", line);
    fflush(view->file);
    view->shown = true;
}

void sb_progress_end(struct sb_progress_view *view)
{
    if (view->shown) {
        fprintf(view->file, "\r\033[K");
        fflush(view->file);
    }
    view->shown = false;
}
