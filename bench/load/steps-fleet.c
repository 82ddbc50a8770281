/* Steps about streams as such: opening them, what they weigh, what their heartbeats cost. */
#include "load.h"
#include <math.h>

void step_connect(int count) {
  if (count > options.streams_max) die("%d streams are more than --streams %d", count, options.streams_max);
  report_begin();
  uint64_t began_ns = now_ns(), deadline_ns = began_ns + options.timeout_s * SECOND_NS;
  int before = ready_count;
  uint64_t failed_before = stream_tally.failed;
  while (ready_count < count && now_ns() < deadline_ns) {
    int failed = options.agents ? 0 : (int)(stream_tally.failed - failed_before);
    if (stream_count == count && ready_count + failed >= count) break;
    while (stream_count < count && stream_count - ready_count - failed < options.connecting_max) stream_start(stream_count++);
    poll_once(20);
  }
  double seconds = (stream_tally.last_ready_ns - began_ns) / 1e9;
  report("connect", "\"seconds\":%.4f,\"streamsPerS\":%.1f,\"failed\":%llu", seconds, (ready_count - before) / seconds,
         (unsigned long long)(stream_tally.failed - failed_before));
}

void step_keep(int count) {
  report_begin();
  for (int index = count; index < stream_count; index++) stream_close(&streams[index]);
  if (stream_count > count) stream_count = count;
  serve_for(1);
  report("keep", "\"kept\":%d", stream_count);
}

void step_settle(int seconds) {
  report_begin();
  serve_for(seconds);
  report("settle", "\"seconds\":%d", seconds);
}

void step_memory(void) {
  report_begin();
  report("memory", "\"pssKib\":%.0f,\"rssKib\":%.0f,\"peakKib\":%.0f,\"fds\":%d", server_kib("smaps_rollup", "Pss:"),
         server_kib("status", "VmRSS:"), server_kib("status", "VmHWM:"), server_fds());
}

/* The time from the hub's own stamp until a heartbeat was at every stream, ms; those that not all had do not count. */
static int beat_times(uint64_t *times_us) {
  int count = 0;
  for (int index = 0; index < beat_count; index++) {
    double took_ms = beats[index].last_wall_ms - beats[index].hub_ms;
    // The stamp is rounded to a ms.
    if (beats[index].count == ready_count) times_us[count++] = (uint64_t)(fmax(took_ms, 0.5) * 1e3);
  }
  sort_numbers(times_us, count);
  return count;
}

void step_heartbeats(int seconds) {
  serve_for(0.2);
  beat_count = 0;
  uint64_t bytes = stream_bytes();
  report_begin();
  serve_for(seconds);
  uint64_t times_us[BEATS_MAX];
  int count = beat_times(times_us);
  double median_s = count ? times_us[count / 2] / 1e6 : 0;
  report("heartbeats", "\"seconds\":%d,\"bytesPerStream\":%.1f,\"beats\":%d,\"medianMs\":%.2f,\"deliveriesPerS\":%.0f", seconds,
         (double)(stream_bytes() - bytes) / (ready_count ? ready_count : 1), count, median_s * 1e3,
         median_s > 0 ? ready_count / median_s : 0);
}
