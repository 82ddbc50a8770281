/* One reader stops while megabytes are pushed to it: what the server grows, when it cuts, what the others feel, what is lost. */
#include "load.h"
#include <stdlib.h>
#include <string.h>

#define SAMPLE_NS (50 * MS_NS)
/* Time that the reader stands still once all is pushed, s: growth shows late. */
#define HOLD_S 3
/* Times that others are served while the reader stands still. */
#define HEALTHY_TRIES 100
/* Controls of which the reader has come back to none for so long are not on their way. */
#define QUIET_NS (2 * SECOND_NS)

struct watch {
  double before_kib, peak_kib;
  uint64_t began_ns, sampled_ns;
  double cut_s;
  int fds_before;
};

/* A reader that stands still does not learn that it was cut before it has read what the kernel holds: the server's files tell. */
static void sample(struct watch *watch) {
  if (now_ns() - watch->sampled_ns < SAMPLE_NS) return;
  watch->sampled_ns = now_ns();
  bool is_cut = streams[0].state == CLOSED || server_fds() < watch->fds_before;
  if (watch->cut_s < 0 && is_cut) watch->cut_s = (now_ns() - watch->began_ns) / 1e9;
  double kib = server_kib("status", "VmRSS:");
  if (kib > watch->peak_kib) watch->peak_kib = kib;
}

static void serve_watching(struct watch *watch, double seconds) {
  for (uint64_t end_ns = now_ns() + (uint64_t)(seconds * SECOND_NS); now_ns() < end_ns; sample(watch)) poll_once(10);
}

/* Pushes all of it. Returns how many bytes of controls were offered. */
static uint64_t push(struct watch *watch, int bytes) {
  char *pad = malloc(bytes + 1);
  memset(pad, 'x', bytes);
  pad[bytes] = 0;
  uint64_t offered = 0, deadline_ns = now_ns() + options.timeout_s * SECOND_NS;
  for (uint64_t sent = 0; sent < slow_reader.count && now_ns() < deadline_ns;) {
    if (!publishers[0].busy) {
      uint64_t sequence = control_new(0);
      if (sequence != slow_reader.first + sent) die("the numbers of the pushed controls have gaps");
      publish(&publishers[0], 0, sequence, pad);
      sent++;
      offered += bytes;
    }
    poll_once(1);
    sample(watch);
  }
  free(pad);
  while (publishers[0].busy && now_ns() < deadline_ns) poll_once(5);
  return offered;
}

static int healthy(uint64_t *times) {
  int got = 0;
  for (int number = 0; number < HEALTHY_TRIES && ready_count > 0; number++) {
    int index = pick_ready();
    uint64_t sequence = control_new(index), deadline_ns = now_ns() + SECOND_NS;
    struct control *control = control_of(sequence);
    publish(&publishers[0], index, sequence, NULL);
    while ((!control->delivered_ns || publishers[0].busy) && now_ns() < deadline_ns) poll_once(20);
    if (control->delivered_ns) times[got++] = control->delivered_ns - control->sent_ns;
  }
  sort_numbers(times, got);
  return got;
}

/* Reads again until nothing more comes. If it was cut, what had been sent is gone with it, and the agent comes to sync. */
static void read_again(void) {
  streams[0].is_paused = false;
  if (streams[0].state == CLOSED) return;
  stream_watch(&streams[0]);
  uint64_t progress_ns = now_ns(), received = 0;
  while (now_ns() - progress_ns < QUIET_NS && slow_reader.received < slow_reader.count && streams[0].state == READY) {
    poll_once(20);
    if (slow_reader.received == received) continue;
    received = slow_reader.received;
    progress_ns = now_ns();
  }
}

void step_slow(int megabytes, int bytes) {
  publishers_up(1);
  if (streams[0].state != READY) die("stream 0 is not open");
  uint64_t times[HEALTHY_TRIES];
  // Opens the operator's connection, so that none of the server's files but those of the reader come or go.
  healthy(times);
  slow_reader = (struct slow_reader){.index = 0, .first = control_next, .count = megabytes * 1000000ull / bytes};
  slow_reader.seen = calloc(slow_reader.count, 1);
  struct publish_tally before = publish_tally;
  report_begin();
  double kib = server_kib("status", "VmRSS:");
  struct watch watch = {.before_kib = kib, .peak_kib = kib, .began_ns = now_ns(), .cut_s = -1, .fds_before = server_fds()};
  streams[0].is_paused = true;
  stream_watch(&streams[0]);
  uint64_t offered = push(&watch, bytes);
  double push_s = (now_ns() - watch.began_ns) / 1e9;
  uint64_t accepted = publish_tally.accepted - before.accepted;
  int got = healthy(times);
  serve_watching(&watch, HOLD_S);
  read_again();
  report("slow",
         "\"offeredBytes\":%llu,\"controls\":%llu,\"accepted\":%llu,\"received\":%llu,\"lastReceived\":%s,\"pushS\":%.2f,"
         "\"beforeKib\":%.0f,\"grownKib\":%.0f,\"cutS\":%.2f,\"isCut\":%s,\"healthyCount\":%d,\"healthyP50Us\":%.1f",
         (unsigned long long)offered, (unsigned long long)slow_reader.count, (unsigned long long)accepted,
         (unsigned long long)slow_reader.received, slow_reader.seen[slow_reader.count - 1] ? "true" : "false", push_s,
         watch.before_kib, watch.peak_kib - watch.before_kib, watch.cut_s, watch.cut_s >= 0 ? "true" : "false", got,
         percentile_us(times, got, 0.5));
  free(slow_reader.seen);
  slow_reader = (struct slow_reader){.index = -1};
}
