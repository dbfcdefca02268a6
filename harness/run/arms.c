// SPDX-License-Identifier: MIT
// The arms of a plan: subjects, each with its options, probed for use on this machine.
//
// Built on: builder.h, allocator/subjects/subjects.h. Concurrency: one thread.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "allocator/subjects/subjects.h"
#include "harness/run/builder.h"

static enum sb_medium choose_medium(const struct sb_plan *plan,
                                    const struct sb_subject *subject)
{
    static const enum sb_medium order[] = {SB_MEMFD, SB_SHM, SB_FILE};
    enum sb_medium wanted = order[plan->settings.medium];
    if (subject->media & wanted) {
        return wanted;
    }
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        if (subject->media & order[i]) {
            return order[i];
        }
    }
    return 0;
}

static int set_option(struct sb_builder *builder, struct sb_arm *arm,
                      const struct sb_word *word, const char *value)
{
    if (!arm->options) {
        return sb_fail(builder->error, -EINVAL, "%s: subject %s has no options",
                       word->where, arm->subject->name);
    }
    int rc = sb_option_set(arm->subject->options, arm->options, word->key, value,
                           builder->error);
    if (rc != 0) {
        return sb_fail_in(builder->error, rc, "%s", word->where);
    }
    size_t used = strlen(arm->label);
    snprintf(arm->label + used, sizeof arm->label - used, " %s=%s", word->key, value);
    return 0;
}

static int add_arm(struct sb_builder *builder, const struct sb_subject *subject,
                   const char *source, struct sb_arm **added)
{
    struct sb_plan *plan = builder->plan;
    if (plan->arms_count == SB_ARMS_MAX) {
        return sb_fail(builder->error, -E2BIG, "more than %d arms", SB_ARMS_MAX);
    }
    struct sb_arm *arm = &plan->arms[plan->arms_count];
    *arm = (struct sb_arm){.subject = subject};
    snprintf(arm->label, sizeof arm->label, "%s", subject->name);
    snprintf(arm->source, sizeof arm->source, "%s", source);
    if (subject->options) {
        arm->options = calloc(1, subject->options_bytes);
        if (!arm->options) {
            return sb_fail(builder->error, -ENOMEM, "no memory for options");
        }
        sb_options_default(subject->options, arm->options);
    }
    plan->arms_count++;
    arm->medium = choose_medium(plan, subject);
    char text[200] = "";
    if (subject->probe(text, sizeof text) == 0) {
        snprintf(arm->version, sizeof arm->version, "%.95s", text);
    } else {
        snprintf(arm->missing, sizeof arm->missing, "%s",
                 text[0] ? text : "not usable on this machine");
    }
    *added = arm;
    return 0;
}

// Two arms alike would be two lines that nobody can tell apart.
static int refuse_twice(const struct sb_builder *builder, const struct sb_arm *arm)
{
    for (const struct sb_arm *other = builder->plan->arms; other < arm; other++) {
        if (other->subject == arm->subject &&
            (!arm->options ||
             memcmp(other->options, arm->options, arm->subject->options_bytes) == 0)) {
            return sb_fail(builder->error, -EINVAL,
                           "%s%ssubject %s is named twice (control=yes in [global] "
                           "measures the first one twice)",
                           builder->subjects_where,
                           builder->subjects_where[0] ? ": " : "", arm->label);
        }
    }
    return 0;
}

// All arms of one subject: the product of the sweeps of its sets, from `at` on.
static int expand(struct sb_builder *builder, const struct sb_subject *subject,
                  const char *source)
{
    const struct sb_word *axes[SB_WORDS_MAX];
    char **items[SB_WORDS_MAX];
    uint32_t counts[SB_WORDS_MAX], axes_count = 0, product = 1;
    int rc = 0;
    for (uint32_t i = 0; i < builder->subject_sets.count && rc == 0; i++) {
        const struct sb_word *word = &builder->subject_sets.all[i];
        if (strcmp(word->owner, source) != 0) {
            continue;
        }
        const struct sb_option *row = sb_option_find(subject->options, word->key);
        rc = sb_sweep_expand(row ? row->type : SB_COUNT, word->value,
                             &items[axes_count], &counts[axes_count], builder->error);
        if (rc == 0) {
            axes[axes_count] = word;
            product *= counts[axes_count++];
        } else {
            sb_fail_in(builder->error, rc, "%s", word->where);
        }
        if (rc == 0 && product > SB_ARMS_MAX) {
            rc = sb_fail(builder->error, -E2BIG, "%s: more than %d arms", word->where,
                         SB_ARMS_MAX);
        }
    }
    for (uint32_t nth = 0; nth < product && rc == 0; nth++) {
        struct sb_arm *arm;
        rc = add_arm(builder, subject, source, &arm);
        for (uint32_t axis = 0, rest = nth; axis < axes_count && rc == 0; axis++) {
            rc = set_option(builder, arm, axes[axis], items[axis][rest % counts[axis]]);
            rest /= counts[axis];
        }
        if (rc == 0) {
            rc = refuse_twice(builder, arm);
        }
    }
    for (uint32_t axis = 0; axis < axes_count; axis++) {
        sb_sweep_free(items[axis], counts[axis]);
    }
    return rc;
}

static int add_control(struct sb_builder *builder)
{
    const struct sb_arm *first = &builder->plan->arms[0];
    struct sb_arm *arm;
    int rc = add_arm(builder, first->subject, first->source, &arm);
    if (rc == 0) {
        if (arm->options) {
            memcpy(arm->options, first->options, first->subject->options_bytes);
        }
        snprintf(arm->label, sizeof arm->label, "%.55s (A/A)", first->label);
        arm->control = true;
    }
    return rc;
}

static int check_owners(struct sb_builder *builder)
{
    for (uint32_t i = 0; i < builder->subject_sets.count; i++) {
        const struct sb_word *word = &builder->subject_sets.all[i];
        bool found = false;
        for (uint32_t arm = 0; arm < builder->plan->arms_count && !found; arm++) {
            found = strcmp(builder->plan->arms[arm].source, word->owner) == 0;
        }
        if (!found) {
            return sb_fail(builder->error, -EINVAL,
                           "%s: subject %s is not part of this run", word->where,
                           word->owner);
        }
    }
    return 0;
}

int sb_builder_make_arms(struct sb_builder *builder)
{
    builder->plan->arms_count = 0;
    builder->plan->arms = calloc(SB_ARMS_MAX, sizeof *builder->plan->arms);
    char *list = strdup(builder->subjects ? builder->subjects : "all");
    int rc = 0;
    if (!builder->plan->arms || !list) {
        free(list);
        return sb_fail(builder->error, -ENOMEM, "no memory for the plan");
    }
    char *rest = NULL;
    for (char *word = strtok_r(list, ", ", &rest); word && rc == 0;
         word = strtok_r(NULL, ", ", &rest)) {
        if (strcmp(word, "all") == 0) {
            for (size_t i = 0; sb_subjects[i] && rc == 0; i++) {
                rc = expand(builder, sb_subjects[i], sb_subjects[i]->name);
            }
            continue;
        }
        const struct sb_subject *subject;
        rc = sb_subject_find(word, &subject, builder->error);
        if (rc == 0) {
            rc = expand(builder, subject, word);
        } else if (builder->subjects_where[0]) {
            sb_fail_in(builder->error, rc, "%s", builder->subjects_where);
        }
    }
    free(list);
    if (rc == 0 && builder->plan->arms_count == 0) {
        rc = sb_fail(builder->error, -EINVAL, "%s: no subject is named",
                     builder->subjects_where);
    }
    if (rc == 0) {
        rc = check_owners(builder);
    }
    if (rc == 0 && builder->plan->settings.control) {
        rc = add_control(builder);
    }
    return rc;
}
