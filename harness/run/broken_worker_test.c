// SPDX-License-Identifier: MIT
// The worker executable of the tests: knows the broken workloads and subjects besides.
//
// Built on: worker.h, broken.h.
#include "harness/run/broken.h"
#include "harness/run/worker.h"

int main(int argc, char **argv)
{
    static const struct sb_worker_extra extra = {broken_subjects, broken_workloads};
    return sb_worker_main(argc, argv, &extra);
}
