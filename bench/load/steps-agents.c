/* Steps of a fleet of agents: held under load, and through an outage of its hub. */
#define _GNU_SOURCE
#include "load.h"
#include <stdlib.h>
#include <string.h>

#define OPERATORS_MAX 128
#define TRY_AGAIN_NS (250 * MS_NS)
/* After the last control is sent: what is not applied then is lost. */
#define LAST_CONTROLS_S 12

/* Controls that wait to be sent, or sent again, one per operator. */
static uint64_t waiting[OPERATORS_MAX], waiting_until_ns[OPERATORS_MAX];
static uint64_t *times, unsettled, late, failed_requests;
static int time_count, times_max;

static void hold_replied(struct call *call, int status, char *body) {
  struct control *control = control_of(call->sequence);
  if (status < 200 || status >= 300) {
    publish_tally.refused++;
    return;
  }
  publish_tally.accepted++;
  if (body && strstr(body, "\"state\":\"applied\"")) {
    // From when it was due, not from when an operator was free to send it: waiting for a slow hub counts.
    if (time_count < times_max) times[time_count++] = now_ns() - control->sent_ns;
  } else unsettled++;
}

static struct call *free_operator(void) {
  for (int index = 0; index < OPERATORS_MAX; index++)
    if (!publishers[index].busy && !waiting[index]) return &publishers[index];
  return NULL;
}

static int busy_operators(void) {
  int count = 0;
  for (int index = 0; index < OPERATORS_MAX; index++) count += publishers[index].busy || waiting[index];
  return count;
}

void step_hold(int seconds, int per_s) {
  publishers_up(OPERATORS_MAX);
  for (int index = 0; index < OPERATORS_MAX; index++) publishers[index].done = hold_replied;
  times_max = seconds * per_s + 1;
  times = calloc(times_max, sizeof *times);
  time_count = 0;
  unsettled = late = 0;
  struct agent_tally agents_before = agent_tally;
  struct publish_tally before = publish_tally;
  uint64_t twice_before = tally.decided_twice, bytes = stream_bytes();
  report_begin();
  uint64_t began_ns = now_ns(), end_ns = began_ns + seconds * SECOND_NS, gap_ns = SECOND_NS / (per_s ? per_s : 1);
  for (uint64_t due_ns = began_ns; now_ns() < end_ns;) {
    while (per_s && due_ns <= now_ns() && due_ns < end_ns) {
      struct call *call = free_operator();
      if (!call) {
        late++;
        break;
      }
      int index = pick_ready();
      uint64_t sequence = control_new(index);
      control_of(sequence)->sent_ns = due_ns;
      publish(call, index, sequence, NULL);
      due_ns += gap_ns;
    }
    poll_once(1);
  }
  for (uint64_t last_ns = now_ns() + LAST_CONTROLS_S * SECOND_NS; busy_operators() && now_ns() < last_ns;) poll_once(5);
  sort_numbers(times, time_count);
  report("hold",
         "\"seconds\":%d,\"applied\":%d,\"unsettled\":%llu,\"refused\":%llu,\"waits\":%llu,\"decidedTwice\":%llu,\"p50Us\":%.1f,"
         "\"p99Us\":%.1f,\"maxUs\":%.1f,\"syncs\":%llu,\"syncFailures\":%llu,\"bytesPerStream\":%.1f,\"pssKib\":%.0f",
         seconds, time_count, (unsigned long long)unsettled, (unsigned long long)(publish_tally.refused - before.refused),
         (unsigned long long)late, (unsigned long long)(tally.decided_twice - twice_before), percentile_us(times, time_count, 0.5),
         percentile_us(times, time_count, 0.99), percentile_us(times, time_count, 1),
         (unsigned long long)(agent_tally.syncs - agents_before.syncs),
         (unsigned long long)(agent_tally.sync_failures - agents_before.sync_failures),
         (double)(stream_bytes() - bytes) / (ready_count ? ready_count : 1), server_kib("smaps_rollup", "Pss:"));
  free(times);
}

/* During an outage a request that fails is sent again, under the same key, until it is acknowledged. */
static void outage_replied(struct call *call, int status, char *body) {
  (void)body;
  if (status >= 200 && status < 300) {
    control_of(call->sequence)->acknowledged_ns = now_ns();
    return;
  }
  failed_requests++;
  int index = (int)(call - publishers);
  waiting[index] = call->sequence;
  waiting_until_ns[index] = now_ns() + TRY_AGAIN_NS;
}

static void send_again(void) {
  for (int index = 0; index < OPERATORS_MAX; index++) {
    if (!waiting[index] || publishers[index].busy || waiting_until_ns[index] > now_ns()) continue;
    uint64_t sequence = waiting[index];
    waiting[index] = 0;
    publish(&publishers[index], control_of(sequence)->target, sequence, NULL);
  }
}

static int any_of_ours(void) {
  for (;;) {
    int index = random_number() % stream_count;
    if (!streams[index].is_original) return index;
  }
}

/* Acknowledged controls from `from` on that no agent has applied, and outcomes that the hub has not taken in. */
static uint64_t open_controls(uint64_t from) {
  uint64_t count = 0;
  for (uint64_t sequence = from; sequence < control_next; sequence++)
    count += control_of(sequence)->acknowledged_ns && !control_of(sequence)->applied_ns;
  for (int index = 0; index < stream_count; index++) count += streams[index].outcome_count;
  return count;
}

static void print_arrivals(bool originals) {
  printf(",\"%s\":[", originals ? "originalArrivalsMs" : "arrivalsMs");
  for (int index = 0, printed = 0; index < arrival_count; index++) {
    if (streams[arrivals[index].index].is_original != originals) continue;
    printf("%s%.0f", printed++ ? "," : "", (arrivals[index].at_ns - first_loss_ns) / 1e6);
  }
  printf("]");
}

static double longest_ms(uint64_t from, uint64_t *acknowledged) {
  uint64_t longest_ns = 0;
  for (uint64_t sequence = from; sequence < control_next; sequence++) {
    struct control *control = control_of(sequence);
    *acknowledged += control->acknowledged_ns != 0;
    if (!control->acknowledged_ns || !control->applied_ns || control->applied_ns < control->acknowledged_ns) continue;
    uint64_t took_ns = control->applied_ns - control->acknowledged_ns;
    if (took_ns > longest_ns) longest_ns = took_ns;
  }
  return longest_ns / 1e6;
}

/* Whether every stream has been lost and is open again. */
static bool is_over(void) { return arrival_count >= stream_count && ready_count == stream_count; }

void step_outage(int seconds, int per_s) {
  publishers_up(OPERATORS_MAX);
  for (int index = 0; index < OPERATORS_MAX; index++) publishers[index].done = outage_replied;
  arrivals_begin();
  failed_requests = 0;
  uint64_t first = control_next, twice_before = tally.decided_twice;
  report_begin();
  uint64_t began_ns = now_ns(), deadline_ns = began_ns + seconds * SECOND_NS, gap_ns = SECOND_NS / (per_s ? per_s : 1);
  for (uint64_t due_ns = began_ns; now_ns() < deadline_ns && !is_over();) {
    struct call *call = per_s && due_ns <= now_ns() ? free_operator() : NULL;
    if (call) {
      int index = any_of_ours();
      publish(call, index, control_new(index), NULL);
      due_ns += gap_ns;
    }
    send_again();
    poll_once(2);
  }
  for (uint64_t last_ns = now_ns() + LAST_CONTROLS_S * SECOND_NS; now_ns() < last_ns;) {
    send_again();
    poll_once(5);
    if (!busy_operators() && open_controls(first) == 0) break;
  }
  uint64_t acknowledged = 0;
  double most_ms = longest_ms(first, &acknowledged);
  report_begin();
  printf("{\"step\":\"outage\",\"lossWallMs\":%.1f,\"streams\":%d,\"issued\":%llu,\"acknowledged\":%llu,\"failedRequests\":%llu,"
         "\"open\":%llu,\"decidedTwice\":%llu,\"longestMs\":%.1f",
         first_loss_wall_ms, ready_count, (unsigned long long)(control_next - first), (unsigned long long)acknowledged,
         (unsigned long long)failed_requests, (unsigned long long)open_controls(first),
         (unsigned long long)(tally.decided_twice - twice_before), most_ms);
  print_arrivals(false);
  print_arrivals(true);
  printf("}\n");
  fflush(stdout);
}
