# SPDX-License-Identifier: Apache-2.0
if(CONODE_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()
add_custom_target(conode_tests)  # those of the tiers unit and kernel, with what they start

# conode_test(LABEL NAME [THREADS] SOURCES file... LIBS library...)
# LABEL is the tier: unit (no privilege, seconds) or kernel (private namespaces). One CTest test a
# program, run in tests/data's parent so that test data is found by relative path. THREADS: what it
# tests has threads of its own; with ThreadSanitizer there are no other tests.
function(conode_test label name)
  if(NOT CONODE_TESTS)
    return()
  endif()
  cmake_parse_arguments(T "THREADS" "" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${T_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(${name} PRIVATE ${T_LIBS} GTest::gmock GTest::gtest_main)
  if(CONODE_SANITIZE MATCHES thread AND NOT T_THREADS)
    set_target_properties(${name} PROPERTIES EXCLUDE_FROM_ALL ON)
    return()
  endif()
  if(label MATCHES "unit|kernel")
    add_dependencies(conode_tests ${name})
  endif()
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}/tests)
  set_tests_properties(${name} PROPERTIES LABELS ${label} TIMEOUT 120)
  if(CONODE_SANITIZE MATCHES address)  # libpciaccess leaks, unnamed: hwloc unloads it
    set_tests_properties(${name} PROPERTIES
      TIMEOUT 300 ENVIRONMENT HWLOC_PLUGINS_BLACKLIST=hwloc_pci)
  elseif(CONODE_SANITIZE MATCHES thread)  # libzmq and others are not instrumented: their locks are not seen
    set_tests_properties(${name} PROPERTIES
      TIMEOUT 300 ENVIRONMENT "TSAN_OPTIONS=ignore_noninstrumented_modules=1:second_deadlock_stack=1")
  endif()
endfunction()

# conode_fuzz(NAME LIBRARY): a libFuzzer target of tests/fuzz/NAME.cc; preset `fuzz`, which needs Clang.
function(conode_fuzz name library)
  if(NOT CONODE_FUZZ)
    return()
  endif()
  target_compile_options(${library} PRIVATE -fsanitize=fuzzer-no-link)
  add_executable(${name} ${PROJECT_SOURCE_DIR}/tests/fuzz/${name}.cc)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_compile_options(${name} PRIVATE -fsanitize=fuzzer)
  target_link_libraries(${name} PRIVATE ${library} -fsanitize=fuzzer)
endfunction()
