/* Steps about controls: from the operator's request to the bytes at the stream. */
#include "load.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A control that takes longer is lost. */
#define LOST_NS (2 * SECOND_NS)
#define STALLED_NS (5 * SECOND_NS)
/* Controls go to streams in steps of a prime, so that no order of the hub's helps. */
#define STRIDE 7919

/* Serves until the next control is due, without keeping the core busy that the hub may need. */
static void rest(int gap_us) {
  uint64_t end_ns = now_ns() + gap_us * 1000ull;
  for (uint64_t now = now_ns(); now < end_ns; now = now_ns()) {
    poll_once(0);
    struct timespec pause = {0, end_ns - now > MS_NS ? MS_NS : end_ns - now};
    nanosleep(&pause, NULL);
  }
}

/* Sends one control and waits for it and for the reply. Returns ns, 0 if it is lost. */
static uint64_t send_one(int index) {
  uint64_t sequence = control_new(index);
  struct control *control = control_of(sequence);
  publish(&publishers[0], index, sequence, NULL);
  uint64_t deadline_ns = now_ns() + LOST_NS;
  while ((!control->delivered_ns || publishers[0].busy) && now_ns() < deadline_ns) poll_once(100);
  return control->delivered_ns ? control->delivered_ns - control->sent_ns : 0;
}

void step_latency(int count, int gap_us) {
  publishers_up(1);
  serve_for(0.2);
  replies_begin();
  report_begin();
  uint64_t *times = calloc(count, sizeof *times), deadline_ns = now_ns() + options.timeout_s * SECOND_NS;
  int got = 0, lost = 0;
  for (int number = 0; number < count && now_ns() < deadline_ns; number++) {
    uint64_t took_ns = send_one(pick_ready());
    if (took_ns) times[got++] = took_ns;
    else lost++;
    rest(gap_us);
  }
  sort_numbers(times, got);
  sort_numbers(reply_ns, reply_count);
  report("latency", "\"count\":%d,\"undelivered\":%d,\"p50Us\":%.1f,\"p99Us\":%.1f,\"maxUs\":%.1f,\"replyP50Us\":%.1f", got, lost,
         percentile_us(times, got, 0.5), percentile_us(times, got, 0.99), percentile_us(times, got, 1),
         percentile_us(reply_ns, reply_count, 0.5));
  free(times);
}

static int next_target(void) {
  static uint64_t at;
  do at = (at + STRIDE) % stream_count;
  while (streams[at].state != READY);
  return (int)at;
}

void step_throughput(int count, int publisher_count) {
  publishers_up(publisher_count);
  serve_for(0.2);
  replies_begin();
  struct publish_tally before = publish_tally;
  uint64_t delivered_before = tally.delivered, seen = delivered_before;
  report_begin();
  uint64_t began_ns = now_ns(), progress_ns = began_ns, deadline_ns = began_ns + options.timeout_s * SECOND_NS;
  int sent = 0, delivered = 0;
  while (delivered < count && now_ns() < deadline_ns) {
    for (int at = 0; at < publisher_count && sent < count; at++)
      if (!publishers[at].busy) {
        int index = next_target();
        publish(&publishers[at], index, control_new(index), NULL);
        sent++;
      }
    poll_once(1);
    delivered = (int)(tally.delivered - delivered_before);
    if (tally.delivered != seen) {
      seen = tally.delivered;
      progress_ns = now_ns();
    } else if (sent == count && now_ns() - progress_ns > STALLED_NS) break;
  }
  double seconds = (tally.last_delivered_ns - began_ns) / 1e9;
  sort_numbers(reply_ns, reply_count);
  report("throughput", "\"count\":%d,\"undelivered\":%d,\"refused\":%llu,\"seconds\":%.4f,\"controlsPerS\":%.1f,\"replyP50Us\":%.1f",
         count, count - delivered, (unsigned long long)(publish_tally.refused - before.refused), seconds, delivered / seconds,
         percentile_us(reply_ns, reply_count, 0.5));
}

/* Writes the body of one request with the controls from `from` to `to`. */
static int write_batch(char *body, int capacity, int from, int to) {
  int length = snprintf(body, capacity, "%s", options.batch_head);
  for (int index = from; index < to; index++) {
    if (index > from) body[length++] = ',';
    length += expand(body + length, capacity - length, options.batch_item, index, control_new(index), NULL);
  }
  return length + snprintf(body + length, capacity - length, "%s", options.batch_tail);
}

/* One control for each of `count` streams. Returns the time until the last had its own, ns. */
static uint64_t batch_round(char *body, int capacity, int count) {
  uint64_t began_ns = now_ns(), progress_ns = began_ns, seen = tally.delivered, target = tally.delivered + count;
  for (int next = 0; tally.delivered < target && now_ns() - progress_ns < STALLED_NS;) {
    if (next < count && !publishers[0].busy) {
      int to = next + options.batch_chunk < count ? next + options.batch_chunk : count;
      int length = write_batch(body, capacity, next, to);
      publish_to(&publishers[0], options.batch_path, 0, 0, body, length);
      next = to;
    }
    poll_once(5);
    if (tally.delivered != seen) {
      seen = tally.delivered;
      progress_ns = now_ns();
    }
  }
  uint64_t took_ns = tally.last_delivered_ns - began_ns;
  while (publishers[0].busy && now_ns() - progress_ns < STALLED_NS) poll_once(5);
  return took_ns;
}

void step_batch(int count, int rounds) {
  publishers_up(1);
  serve_for(0.2);
  if (count > stream_count) count = stream_count;
  struct publish_tally before = publish_tally;
  uint64_t delivered_before = tally.delivered, *times = calloc(rounds, sizeof *times);
  int capacity = ((int)strlen(options.batch_item) + 32) * options.batch_chunk + 1024;
  char *body = malloc(capacity);
  report_begin();
  for (int round = 0; round < rounds; round++) {
    times[round] = batch_round(body, capacity, count);
    serve_for(0.05);
  }
  sort_numbers(times, rounds);
  double median_s = times[rounds / 2] / 1e9;
  report("batch", "\"count\":%d,\"undelivered\":%d,\"refused\":%llu,\"medianMs\":%.2f,\"controlsPerS\":%.1f", count,
         count * rounds - (int)(tally.delivered - delivered_before),
         (unsigned long long)(publish_tally.refused - before.refused), median_s * 1e3, count / median_s);
  free(times);
  free(body);
}

void step_broadcast(int rounds, int gap_ms) {
  publishers_up(1);
  serve_for(0.2);
  uint64_t *times = calloc(rounds, sizeof *times);
  int missed = 0;
  report_begin();
  for (int round = 0; round < rounds; round++) {
    char body[4096];
    broadcast = (struct broadcast){.sequence = control_new(-1)};
    int length = expand(body, sizeof body, options.broadcast_body, 0, broadcast.sequence, NULL);
    uint64_t began_ns = now_ns();
    publish_to(&publishers[0], options.broadcast_path, 0, broadcast.sequence, body, length);
    while ((broadcast.count < ready_count || publishers[0].busy) && now_ns() - began_ns < STALLED_NS) poll_once(20);
    missed += ready_count - broadcast.count;
    times[round] = broadcast.last_ns > began_ns ? broadcast.last_ns - began_ns : 0;
    broadcast.sequence = 0;
    serve_for(gap_ms / 1e3);
  }
  sort_numbers(times, rounds);
  double median_s = times[rounds / 2] / 1e9;
  report("broadcast", "\"rounds\":%d,\"undelivered\":%d,\"medianMs\":%.2f,\"deliveriesPerS\":%.0f", rounds, missed, median_s * 1e3,
         median_s > 0 ? ready_count / median_s : 0);
  free(times);
}
