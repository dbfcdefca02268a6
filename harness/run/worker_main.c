// SPDX-License-Identifier: MIT
// shmbench-worker: what the coordinator executes for each worker of each trial.
//
// Built on: worker.h. Why this way: an exec'd process has an address layout of its own,
//   as the processes of a real system have; a forked one would not.
#include "harness/run/worker.h"

int main(int argc, char **argv)
{
    return sb_worker_main(argc, argv, NULL);
}
