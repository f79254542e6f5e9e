// SPDX-License-Identifier: Apache-2.0
// libzmq hands messages from thread to thread by atomics that ThreadSanitizer does not see, because
// Debian's library is not built with it: what it does inside is left out, what we do is not.
extern "C" const char* __tsan_default_suppressions();  // NOLINT(bugprone-reserved-identifier)

extern "C" const char* __tsan_default_suppressions() {  // NOLINT(bugprone-reserved-identifier)
  return "called_from_lib:libzmq.so.5\n";
}
