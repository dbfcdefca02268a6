// SPDX-License-Identifier: MIT
// The registry: names, suggestions, what a descriptor must hold, and plugins.
//
// Built on: cmocka; plugins built beside this test. Concurrency: none.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "allocator/subjects/conformance.h"
#include "allocator/subjects/subjects.h"

static void names_are_unique(void **state)
{
    (void)state;
    for (size_t i = 0; sb_subjects[i] != NULL; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(sb_subjects[i]->name, sb_subjects[j]->name);
        }
    }
}

static void an_unknown_name_is_answered(void **state)
{
    (void)state;
    const struct sb_subject *subject = NULL;
    struct sb_error error;
    assert_int_equal(sb_subject_find("jemaloc", &subject, &error), -ENOENT);
    assert_non_null(strstr(error.text, "did you mean 'jemalloc'"));
    assert_non_null(strstr(error.text, "mimalloc"));
    assert_int_equal(sb_subject_find("", &subject, &error), -ENOENT);
    assert_int_equal(sb_subject_find("something-else-entirely-and-a-good-deal-longer",
                                     &subject, &error),
                     -ENOENT);
    assert_null(strstr(error.text, "did you mean"));
    assert_null(subject);
}

static void a_wrong_descriptor_is_refused(void **state)
{
    (void)state;
    struct sb_error error;
    struct sb_subject subject = *sb_subjects[0];
    assert_int_equal(sb_subject_validate(&subject, &error), 0);
    subject.alloc = NULL;
    assert_int_equal(sb_subject_validate(&subject, &error), -EINVAL);
    assert_non_null(strstr(error.text, "'alloc'"));
    subject = *sb_subjects[0];
    subject.capabilities |= SB_CAP_PIN;
    assert_int_equal(sb_subject_validate(&subject, &error), -EINVAL);
    assert_non_null(strstr(error.text, "claims the capability PIN"));
    subject = *sb_subjects[0];
    subject.capabilities &= ~(uint32_t)SB_CAP_REALLOC;
    assert_int_equal(sb_subject_validate(&subject, &error), -EINVAL);
    assert_non_null(strstr(error.text, "lacks the capability REALLOC"));
    subject = *sb_subjects[0];
    subject.capabilities |= SB_CAP_PRIVATE;
    assert_int_equal(sb_subject_validate(&subject, &error), -EINVAL);
    subject = *sb_subjects[0];
    subject.media = 0;
    assert_int_equal(sb_subject_validate(&subject, &error), -EINVAL);
}

static void a_plugin_works_like_our_own(void **state)
{
    (void)state;
    const struct sb_subject *subject = NULL;
    struct sb_error error = {""};
    if (sb_subject_find(SB_TEST_PLUGIN, &subject, &error) != 0) {
        fail_msg("%s", error.text);
    }
    assert_string_equal(subject->name, "bump");
    conform_name = "plugin";
    case_sizes(subject, "");
    case_huge(subject, "");
}

static void a_plugin_of_another_abi_is_refused_by_name(void **state)
{
    (void)state;
    const struct sb_subject *subject = NULL;
    struct sb_error error;
    assert_int_equal(sb_subject_find(SB_TEST_PLUGIN_OLD, &subject, &error), -ENOEXEC);
    assert_non_null(strstr(error.text, "abi 99"));
    assert_null(subject);
}

static void a_plugin_that_crashes_is_refused(void **state)
{
    (void)state;
    const struct sb_subject *subject = NULL;
    struct sb_error error;
    assert_int_equal(sb_subject_find(SB_TEST_PLUGIN_CRASH, &subject, &error), -ENOEXEC);
    assert_non_null(strstr(error.text, "crashed while being loaded"));
    assert_null(subject);
}

static void what_is_no_plugin_is_refused(void **state)
{
    (void)state;
    const struct sb_subject *subject = NULL;
    struct sb_error error;
    assert_int_equal(sb_subject_find("./no/such/file.so", &subject, &error), -ENOENT);
    assert_int_equal(sb_subject_find("/proc/self/exe", &subject, &error), -ENOEXEC);
    assert_int_equal(sb_subject_find("/proc/self/status", &subject, &error), -ENOEXEC);
    assert_null(subject);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_unique),
        cmocka_unit_test(an_unknown_name_is_answered),
        cmocka_unit_test(a_wrong_descriptor_is_refused),
        cmocka_unit_test(a_plugin_works_like_our_own),
        cmocka_unit_test(a_plugin_of_another_abi_is_refused_by_name),
        cmocka_unit_test(what_is_no_plugin_is_refused),
        cmocka_unit_test(
            a_plugin_that_crashes_is_refused), // last: it spoils the loader
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
