// SPDX-License-Identifier: MIT
// Numbers with a unit, exactly as users write them and back.
//
// Built on: option.h (the types). Units: the type is the unit. Concurrency: any thread.
// Why this way: whole numbers are parsed as 64-bit integers, since a double would spoil
// a seed; "1.5M" is allowed where it is a whole number of the unit.
#ifndef SB_BASE_NUMBER_H
#define SB_BASE_NUMBER_H

#include "harness/base/option.h"

union sb_number {
    uint64_t whole; // SB_COUNT, SB_BYTES, SB_NS
    double ratio;   // SB_RATIO
};

enum { SB_NUMBER_BYTES = 32 }; // room that always suffices for sb_number_text

// `type` is one of SB_COUNT, SB_BYTES, SB_NS, SB_RATIO. A count may be hexadecimal.
// Errors: -EINVAL not a number of the type (error says which suffixes there are),
// -ERANGE well formed, but negative or too large to hold.
int sb_number_parse(enum sb_type type, const char *text, union sb_number *number,
                    struct sb_error *error);

// The shortest exact text that sb_number_parse takes back: "64K", "1500us", "0.12".
void sb_number_text(enum sb_type type, union sb_number number, char *text,
                    size_t bytes);

double sb_number_double(enum sb_type type, union sb_number number);
// The nearest number of the type; a bound beyond what it holds becomes its last.
union sb_number sb_number_of(enum sb_type type, double value);

#endif
