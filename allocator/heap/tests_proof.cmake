# SPDX-License-Identifier: MIT
# The tests that try to break the heap: kills, damaged files, constant moves, the model.
if(NOT SB_SANITIZE)
  # Sanitizers do not live with ptrace, and their own instructions are not the heap's.
  sb_test(heap_kill_test kill_test.c kill_cases.c kill_step.c kill_verify.c
          LINK hh_static TIMEOUT 1800)
  sb_test(heap_preempt_test preempt_test.c kill_cases.c kill_step.c kill_verify.c
          LINK hh_static TIMEOUT 1800)
  if(BUILD_TESTING)
    add_test(NAME heap_kill_mutants COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/kill_mutants")
    set_tests_properties(heap_kill_mutants PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 1800)
  endif()
endif()
add_subdirectory(model)
sb_test(heap_move_stress_test move_stress_test.c LINK hh_static Threads::Threads TIMEOUT 300)
if(NOT SB_SANITIZE MATCHES thread)
  # One thread to a case, and thousands of them: nothing for that sanitizer to find.
  sb_test(heap_hostile_test hostile_test.c LINK hh_static TIMEOUT 600)
endif()
