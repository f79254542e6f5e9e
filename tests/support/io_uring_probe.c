// SPDX-License-Identifier: Apache-2.0
// Prints what the kernel says to io_uring_setup(2): its kernel threads would run on any core.
#include <errno.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
  struct io_uring_params params = {0};
  const long fd = syscall(SYS_io_uring_setup, 1, &params);
  puts(fd >= 0 ? "a ring" : strerror(errno));
  return fd >= 0;
}
