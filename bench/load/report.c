/* One line of JSON for each step. */
#include "load.h"
#include <stdarg.h>
#include <stdlib.h>

static double server_before_s, own_before_s;
static uint64_t began_ns;

void report_begin(void) {
  server_before_s = server_cpu_s();
  own_before_s = own_cpu_s();
  began_ns = now_ns();
}

void report(const char *step, const char *format, ...) {
  double wall_s = (now_ns() - began_ns) / 1e9;
  printf("{\"step\":\"%s\",\"wallS\":%.4f,\"serverCpuS\":%.3f,\"loadCpuShare\":%.3f,\"streams\":%d,\"lost\":%llu,\"misrouted\":%llu,"
         "\"repeated\":%llu,",
         step, wall_s, server_cpu_s() - server_before_s, (own_cpu_s() - own_before_s) / wall_s, ready_count,
         (unsigned long long)stream_tally.lost, (unsigned long long)tally.misrouted, (unsigned long long)tally.repeated);
  va_list arguments;
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
  printf("}\n");
  fflush(stdout);
}

static int compare(const void *first, const void *second) {
  uint64_t a = *(const uint64_t *)first, b = *(const uint64_t *)second;
  return (a > b) - (a < b);
}

void sort_numbers(uint64_t *numbers, int count) { qsort(numbers, count, sizeof *numbers, compare); }

double percentile_us(const uint64_t *sorted, int count, double part) {
  return count ? sorted[(int)(part * (count - 1) + 0.5)] / 1e3 : 0;
}
