// SPDX-License-Identifier: Apache-2.0

// The first process of every pod sandbox: holds the namespaces, reaps orphans (it is PID 1 where the
// pod shares its PID namespace) and ends on SIGINT or SIGTERM. Without a C library it needs two pages.
//
// The signals are blocked and waited for instead of handled: the kernel never discards a blocked
// signal of an init process, and no signal trampoline is needed.

#include <asm/signal.h>
#include <asm/unistd.h>
#include <linux/wait.h>

static long call(long number, long a, long b, long c, long d) {
#if defined(__x86_64__)
  long result = number;
  register long r10 __asm__("r10") = d;
  __asm__ volatile("syscall"
                   : "+a"(result)
                   : "D"(a), "S"(b), "d"(c), "r"(r10)
                   : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
  return x0;
#else
#error "pause: no system call convention for this architecture"
#endif
}

#define BIT(signal) (1UL << ((signal) - 1))

__attribute__((noreturn, used)) void pause_main(void) {
  const unsigned long set = BIT(SIGINT) | BIT(SIGTERM) | BIT(SIGCHLD);
  call(__NR_rt_sigprocmask, SIG_BLOCK, (long)&set, 0, sizeof(set));
  for (;;) {
    const long signal = call(__NR_rt_sigtimedwait, (long)&set, 0, 0, sizeof(set));
    if (signal == SIGCHLD) {
      while (call(__NR_wait4, -1, 0, WNOHANG, 0) > 0) {
      }
    } else if (signal == SIGINT || signal == SIGTERM) {
      for (;;) {
        call(__NR_exit_group, 0, 0, 0, 0);
      }
    }
  }
}

// The kernel enters with the stack pointer 16-byte aligned; a C function expects it after a call.
#if defined(__x86_64__)
__asm__(".globl _start\n_start: xor %ebp, %ebp\n call pause_main\n");
#else
__asm__(".globl _start\n_start: mov x29, #0\n bl pause_main\n");
#endif
