// SPDX-License-Identifier: MIT
// The list of subjects, and the loader of plugins.
//
// Built on: subjects.def, dlopen. Concurrency: as subjects.h.
// Why this way: a plugin is checked as strictly as our own, at load, so that a missing
//   operation is one line of text and not a call through NULL in the middle of a trial.
#include <dlfcn.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "allocator/subjects/subjects.h"

#define SB_SUBJECT(x) extern const struct sb_subject sb_subject_##x;
#include "allocator/subjects/subjects.def"
#undef SB_SUBJECT

const struct sb_subject *const sb_subjects[] = {
#define SB_SUBJECT(x) &sb_subject_##x,
#include "allocator/subjects/subjects.def"
#undef SB_SUBJECT
    NULL,
};

enum { NAME_MAX_BYTES = 32 };

// Edit distance, for "did you mean": names are short, so the plain table does.
static size_t distance(const char *a, const char *b)
{
    size_t row[NAME_MAX_BYTES + 1];
    size_t columns = strnlen(b, NAME_MAX_BYTES);
    for (size_t j = 0; j <= columns; j++) {
        row[j] = j;
    }
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= columns; j++) {
            size_t least = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < least) {
                least = row[j] + 1;
            }
            if (row[j - 1] + 1 < least) {
                least = row[j - 1] + 1;
            }
            row[j] = least;
        }
    }
    return row[columns];
}

static int unknown(const char *name, struct sb_error *error)
{
    char names[256] = "";
    const char *nearest = NULL;
    size_t best = 4; // further away it is no misspelling
    for (size_t i = 0; sb_subjects[i] != NULL; i++) {
        const char *candidate = sb_subjects[i]->name;
        size_t length = strlen(names);
        snprintf(names + length, sizeof names - length, "%s%s", i > 0 ? ", " : "",
                 candidate);
        size_t far = distance(name, candidate);
        if (far < best && far < strlen(candidate)) {
            best = far;
            nearest = candidate;
        }
    }
    if (nearest != NULL) {
        return sb_fail(error, -ENOENT,
                       "no subject is called '%.64s'; did you mean '%s'? There are %s",
                       name, nearest, names);
    }
    return sb_fail(error, -ENOENT,
                   "no subject is called '%.64s'; there are %s, or the path of a "
                   "plugin (with a slash)",
                   name, names);
}

struct pairing {
    uint32_t capability;
    const char *capability_name, *operation_name;
    bool present;
};

int sb_subject_validate(const struct sb_subject *s, struct sb_error *error)
{
    const struct pairing pairings[] = {
        {0, NULL, "probe", s->probe != NULL},
        {0, NULL, "create", s->create != NULL},
        {0, NULL, "attach", s->attach != NULL},
        {0, NULL, "detach", s->detach != NULL},
        {0, NULL, "destroy", s->destroy != NULL},
        {0, NULL, "alloc", s->alloc != NULL},
        {0, NULL, "free", s->free != NULL},
        {0, NULL, "address", s->address != NULL},
        {0, NULL, "usage", s->usage != NULL},
        {SB_CAP_SHARE, "SHARE", "open", s->open != NULL},
        {SB_CAP_PIN, "PIN", "lock", s->lock != NULL},
        {SB_CAP_PIN, "PIN", "unlock", s->unlock != NULL},
        {SB_CAP_REALLOC, "REALLOC", "realloc", s->realloc != NULL},
        {SB_CAP_COMPACT, "COMPACT", "compact", s->compact != NULL},
        {SB_CAP_REPAIR, "REPAIR", "repair", s->repair != NULL},
        {SB_CAP_CHECK, "CHECK", "check", s->check != NULL},
        {SB_CAP_RESIZE, "RESIZE", "resize", s->resize != NULL},
    };
    uint32_t has = s->capabilities;
    const char *name = s->name != NULL ? s->name : "(without a name)";
    if (s->name == NULL || s->summary == NULL || s->origin == NULL) {
        return sb_fail(error, -EINVAL, "subject %s lacks its name, summary or origin",
                       name);
    }
    for (size_t i = 0; i < sizeof pairings / sizeof pairings[0]; i++) {
        const struct pairing *p = &pairings[i];
        bool wanted = p->capability == 0 || (has & p->capability) != 0;
        if (wanted == p->present) {
            continue;
        }
        if (p->capability == 0) {
            return sb_fail(error, -EINVAL, "subject %s has no operation '%s'", name,
                           p->operation_name);
        }
        return sb_fail(error, -EINVAL,
                       "subject %s %s the capability %s but %s operation '%s'", name,
                       wanted ? "claims" : "lacks", p->capability_name,
                       wanted ? "has no" : "has the", p->operation_name);
    }
    bool shared = (has & SB_CAP_SHARE) != 0;
    if (shared == ((has & SB_CAP_PRIVATE) != 0)) {
        return sb_fail(error, -EINVAL, "subject %s must be either SHARE or PRIVATE",
                       name);
    }
    if (shared != (s->media != 0)) {
        return sb_fail(error, -EINVAL, "subject %s %s", name,
                       shared ? "is SHARE but names no medium"
                              : "is PRIVATE but names a medium");
    }
    if ((has & SB_CAP_REMOTE_FREE) != 0 && (has & SB_CAP_OWNER_FREE) != 0) {
        return sb_fail(error, -EINVAL,
                       "subject %s claims both REMOTE_FREE and OWNER_FREE", name);
    }
    if ((has & SB_CAP_EXCLUSIVE) != 0 && (has & SB_CAP_PIN) == 0) {
        return sb_fail(error, -EINVAL, "subject %s claims EXCLUSIVE without PIN", name);
    }
    if ((s->options != NULL) != (s->options_bytes != 0)) {
        return sb_fail(error, -EINVAL, "subject %s: options and options_bytes disagree",
                       name);
    }
    return 0;
}

// A plugin's constructors run within dlopen, before anything can be checked.
static const int crashes[] = {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE};
enum { CRASHES = sizeof crashes / sizeof *crashes };
static sigjmp_buf crashed;

static void on_crash(int number)
{
    siglongjmp(crashed, number);
}

// Returns NULL with *signal_number set where the constructors crashed. What they left
// half done stays so: all that the caller can do then is to say so and end.
static void *load_guarded(const char *path, volatile int *signal_number)
{
    struct sigaction before[CRASHES], guard = {.sa_handler = on_crash};
    void *volatile library = NULL;
    sigemptyset(&guard.sa_mask);
    for (int i = 0; i < CRASHES; i++) {
        sigaction(crashes[i], &guard, &before[i]);
    }
    *signal_number = sigsetjmp(crashed, 1);
    if (*signal_number == 0) {
        library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    }
    for (int i = 0; i < CRASHES; i++) {
        sigaction(crashes[i], &before[i], NULL);
    }
    return library;
}

static int load_plugin(const char *path, const struct sb_subject **subject,
                       struct sb_error *error)
{
    if (access(path, R_OK) != 0) {
        return sb_fail(error, -ENOENT, "plugin %.256s cannot be read: %s", path,
                       strerror(errno));
    }
    volatile int signal_number;
    void *library = load_guarded(path, &signal_number);
    if (signal_number != 0) {
        return sb_fail(error, -ENOEXEC, "plugin %.256s crashed while being loaded: %s",
                       path, strsignal(signal_number));
    }
    if (library == NULL) {
        return sb_fail(error, -ENOEXEC, "plugin %.128s cannot be loaded: %.256s", path,
                       dlerror());
    }
    const struct sb_subject *found = dlsym(library, SB_PLUGIN_SYMBOL);
    int rc = 0;
    if (found == NULL) {
        rc = sb_fail(error, -ENOEXEC, "%.256s is no plugin: it does not export '%s'",
                     path, SB_PLUGIN_SYMBOL);
    } else if (found->abi != SB_SUBJECT_ABI) {
        rc = sb_fail(error, -ENOEXEC,
                     "plugin %.256s is built for subject abi %u, this program has %u",
                     path, found->abi, SB_SUBJECT_ABI);
    } else if (found->size < sizeof *found) {
        rc = sb_fail(error, -ENOEXEC,
                     "plugin %.256s: its descriptor has %u bytes, this program's %zu",
                     path, found->size, sizeof *found);
    } else {
        rc = sb_subject_validate(found, error);
    }
    if (rc != 0) {
        dlclose(library);
        return rc;
    }
    *subject = found;
    return 0;
}

int sb_subject_find(const char *name, const struct sb_subject **subject,
                    struct sb_error *error)
{
    if (strchr(name, '/') != NULL) {
        return load_plugin(name, subject, error);
    }
    for (size_t i = 0; sb_subjects[i] != NULL; i++) {
        if (strcmp(sb_subjects[i]->name, name) == 0) {
            *subject = sb_subjects[i];
            return 0;
        }
    }
    return unknown(name, error);
}

bool sb_subjects_prepare(void)
{
    const char *have = getenv("GLIBC_TUNABLES");
    char value[1024];
    if (have != NULL && strstr(have, "glibc.rtld.optional_static_tls=") != NULL) {
        return false;
    }
    int length =
        snprintf(value, sizeof value, "%s%s%s", have != NULL ? have : "",
                 have != NULL && have[0] != '\0' ? ":" : "", SB_SUBJECTS_TUNABLE);
    return length < (int)sizeof value && setenv("GLIBC_TUNABLES", value, 1) == 0;
}
