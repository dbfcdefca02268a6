# SPDX-License-Identifier: MIT
cmake_minimum_required(VERSION 3.25)
# Writes OUT with what git calls the tree at SOURCE, only when that changed.
execute_process(COMMAND git -C "${SOURCE}" describe --always --dirty --abbrev=12
                OUTPUT_VARIABLE name OUTPUT_STRIP_TRAILING_WHITESPACE
                ERROR_QUIET RESULT_VARIABLE rc)
if(NOT rc EQUAL 0 OR name STREQUAL "")
  set(name "unknown")
endif()
file(CONFIGURE OUTPUT "${OUT}" @ONLY CONTENT "#define SB_GIT \"@name@\"\n")
