/* Clocks, chance, and the end of a process that cannot go on. */
#include "load.h"
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * SECOND_NS + time.tv_nsec;
}

double wall_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

/* xorshift64: fast, and good enough to choose agents by. */
uint64_t random_number(void) {
  static uint64_t state;
  if (state == 0) state = now_ns() | 1;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

double random_part(void) { return (random_number() >> 11) * (1.0 / (1ull << 53)); }

void die(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "load: ");
  vfprintf(stderr, format, arguments);
  fprintf(stderr, "\n");
  va_end(arguments);
  exit(2);
}
