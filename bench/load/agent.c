/*
 * What makes a stream an agent: syncs at the hub's pace, outcomes, and coming back.
 * The waits are those of packages/agent/src/downlink/reconnect-machine.ts; originals wait two seconds, whatever they hear.
 * Syncs go over connections of their own that end with the reply: thousands of agents send one a minute, and none of them
 * keeps a connection for so long.
 */
#define _GNU_SOURCE
#include "load.h"
#include <stdlib.h>
#include <string.h>

#define SYNCS_MAX 256
#define RETRY_MS 2000
#define WINDOW_MS_MIN 2000
#define GRACE_MS 10000
#define SLOT_SPREAD_MS 8000
#define JITTER_MS_MIN 500
#define JITTER_MS_MAX 60000
#define ORIGINAL_SYNC_MS 10000
#define SYNC_AGAIN_MS 1000
/* Of one agent; more wait at the hub. */
#define OUTCOMES_MAX 256

static struct call syncs[SYNCS_MAX];
struct agent_tally agent_tally;
struct arrival *arrivals;
int arrival_count;
uint64_t first_loss_ns;
double first_loss_wall_ms;

static void sync_done(struct call *call, int status, char *body);

void agents_setup(void) {
  arrivals = calloc(options.streams_max, sizeof *arrivals);
  for (int index = 0; index < SYNCS_MAX; index++)
    syncs[index] = (struct call){.wire = {.fd = -1}, .to = options.stream, .tls = options.tls, .done = sync_done};
}

void arrivals_begin(void) {
  arrival_count = 0;
  first_loss_ns = 0;
}

static int least(int first, int second) { return first < second ? first : second; }
static int most(int first, int second) { return first > second ? first : second; }

static void dial_in(struct stream *stream, double delay_ms) {
  stream->dial_ns = now_ns() + (uint64_t)(delay_ms * MS_NS);
  alarm_set(stream->index, stream->dial_ns);
}

static void sync_in(struct stream *stream, double delay_ms) {
  stream->sync_ns = now_ns() + (uint64_t)(delay_ms * MS_NS);
  alarm_set(stream->index, stream->sync_ns);
}

void agent_opened(struct stream *stream) {
  stream->failures = 0;
  if (first_loss_ns && arrival_count < options.streams_max)
    arrivals[arrival_count++] = (struct arrival){now_ns(), stream->index};
  sync_in(stream, 0);
}

/* A planned end: back at the slot that was told. */
static void come_back(struct stream *stream) {
  double delay_ms = stream->drain_ms + random_part() * JITTER_MS_MIN;
  uint64_t back_ns = now_ns() + (uint64_t)(delay_ms * MS_NS);
  stream->spread_until_ns = back_ns + least(SLOT_SPREAD_MS, stream->window_ms) * MS_NS;
  stream->grace_until_ns = back_ns + GRACE_MS * MS_NS;
  stream_tally.drained++;
  dial_in(stream, delay_ms);
}

/* The hub may be gone for all: a place in the window that it had told. */
static void spread(struct stream *stream) {
  int window_ms = most(WINDOW_MS_MIN, stream->window_ms);
  stream->spread_until_ns = now_ns() + (RETRY_MS + window_ms) * MS_NS;
  stream->grace_until_ns = stream->spread_until_ns + GRACE_MS * MS_NS;
  dial_in(stream, RETRY_MS + random_part() * window_ms);
}

/* Refused while the hub is expected back: another place in what is left of the window. */
static void await_hub(struct stream *stream) {
  uint64_t now = now_ns();
  int left_ms = stream->spread_until_ns > now ? (int)((stream->spread_until_ns - now) / MS_NS) : 0;
  int rest_ms = most(JITTER_MS_MIN, stream->retry_after_s * 1000);
  dial_in(stream, rest_ms + random_part() * most(WINDOW_MS_MIN, left_ms));
}

static void back_off(struct stream *stream) {
  int grown_ms = JITTER_MS_MIN << least(stream->failures++, 10);
  dial_in(stream, RETRY_MS + random_part() * least(JITTER_MS_MAX, most(RETRY_MS, grown_ms)));
}

void agent_closed(struct stream *stream, bool was_ready, int status) {
  if (was_ready && !first_loss_ns) {
    first_loss_ns = now_ns();
    first_loss_wall_ms = wall_ms();
  }
  bool is_restarting = status == 0 || status == 503 || status == 502 || status == 504;
  if (stream->is_original) dial_in(stream, RETRY_MS);
  else if (was_ready && stream->drain_ms >= 0) come_back(stream);
  else if (was_ready) spread(stream);
  else if (is_restarting && now_ns() < stream->grace_until_ns) await_hub(stream);
  else back_off(stream);
  stream->retry_after_s = 0;
}

/* FNV-1a. */
static uint64_t hash_of(const char *text, int length) {
  uint64_t hash = 14695981039346656037ull;
  for (int at = 0; at < length; at++) hash = (hash ^ (uint8_t)text[at]) * 1099511628211ull;
  return hash | 1;
}

static void report_applied(struct stream *stream, const char *id, int id_length, const char *object) {
  if (stream->is_original) return;
  for (int index = 0; index < stream->outcome_count; index++)
    if (strncmp(stream->outcomes[index].control_id, id, id_length) == 0) return;
  if (stream->outcome_count == OUTCOMES_MAX || id_length >= (int)sizeof stream->outcomes->control_id) return;
  const char *epoch = strstr(object, "\"epoch\":"), *revision = strstr(object, "\"revision\":");
  if (!epoch || !revision) return;
  stream->outcomes = realloc(stream->outcomes, (stream->outcome_count + 1) * sizeof *stream->outcomes);
  struct outcome *outcome = &stream->outcomes[stream->outcome_count++];
  memcpy(outcome->control_id, id, id_length);
  outcome->control_id[id_length] = 0;
  outcome->epoch = strtoull(epoch + 8, NULL, 10);
  outcome->revision = strtoull(revision + 11, NULL, 10);
}

void agent_heard_controls(struct stream *stream, char *text) {
  for (char *at = text; (at = strstr(at, "\"controlId\":\"")) != NULL;) {
    char *id = at + 13, *id_end = strchr(id, '"'), *number = strstr(id, options.match);
    if (!id_end || !number) return;
    int id_length = id_end - id;
    uint64_t sequence = strtoull(number + strlen(options.match), NULL, 10);
    control_applied(stream->index, sequence, hash_of(id, id_length));
    // Reported again, too, if it comes again: the hub says so when it has taken it in.
    report_applied(stream, id, id_length, id_end);
    at = id_end;
  }
  agent_heard_sync(stream);
}

void agent_heard_sync(struct stream *stream) {
  if (stream->is_syncing) stream->sync_wanted = true;
  else sync_in(stream, 0);
}

static struct call *free_sync(void) {
  static int next;
  for (int tries = 0; tries < SYNCS_MAX; tries++) {
    next = (next + 1) % SYNCS_MAX;
    if (!syncs[next].busy) return &syncs[next];
  }
  return NULL;
}

static int write_outcomes(struct stream *stream, char *text, int capacity) {
  int length = 0;
  stream->outcomes_sent = 0;
  for (int index = 0; index < stream->outcome_count && length < capacity - 512; index++) {
    struct outcome *outcome = &stream->outcomes[index];
    length += snprintf(text + length, capacity - length,
                       "%s{\"controlId\":\"%s\",\"epoch\":%llu,\"revision\":%llu,\"state\":\"applied\",\"agoMs\":0}",
                       index ? "," : "", outcome->control_id, (unsigned long long)outcome->epoch,
                       (unsigned long long)outcome->revision);
    stream->outcomes_sent++;
  }
  text[length] = 0;
  return length;
}

static void send_sync(struct stream *stream) {
  struct call *call = free_sync();
  if (!call) {
    sync_in(stream, 5);
    return;
  }
  static char body[65536], outcomes[61440];
  char headers[1024], heartbeat[160] = "";
  int length = snprintf(body, sizeof body, "{\"agentId\":\"a%d\",\"tasks\":[],\"freeSlots\":1", stream->index);
  if (!stream->is_original) {
    write_outcomes(stream, outcomes, sizeof outcomes);
    if (stream->has_heartbeat && stream->state == READY)
      snprintf(heartbeat, sizeof heartbeat, ",\"heartbeat\":{\"counter\":%llu,\"hubMs\":%llu,\"agoMs\":%llu}",
               (unsigned long long)stream->heartbeat_counter, (unsigned long long)stream->heartbeat_hub_ms,
               (unsigned long long)((now_ns() - stream->heartbeat_ns) / MS_NS));
    length += snprintf(body + length, sizeof body - length,
                       ",\"os\":\"linux\",\"arch\":\"x64\",\"bootNonce\":\"boot-%d\",\"connectCounter\":%d,\"journalId\":\"journal-%d\","
                       "\"journalPosition\":0,\"journalOpenedAt\":0,\"outcomes\":[%s]%s",
                       stream->index, ++stream->requests, stream->index, outcomes, heartbeat);
  }
  length += snprintf(body + length, sizeof body - length, "}");
  snprintf(headers, sizeof headers, "Authorization: Bearer %s\r\nUser-Agent: downlink-load\r\n", key_of(stream->index));
  stream->is_syncing = true;
  stream->sync_wanted = false;
  stream->sync_ns = 0;
  call->owner = stream->index;
  call_start(call, "POST", options.sync_path, headers, body, length);
}

/* Forgets what the hub has taken in. */
static void forget_acknowledged(struct stream *stream, const char *body) {
  const char *list = strstr(body, "\"acked\":[");
  int kept = 0;
  for (int index = 0; index < stream->outcome_count; index++) {
    char quoted[208];
    snprintf(quoted, sizeof quoted, "\"%s\"", stream->outcomes[index].control_id);
    if (index < stream->outcomes_sent && list && strstr(list, quoted)) continue;
    stream->outcomes[kept++] = stream->outcomes[index];
  }
  stream->outcome_count = kept;
}

static void sync_done(struct call *call, int status, char *body) {
  struct stream *stream = &streams[call->owner];
  stream->is_syncing = false;
  if (status != 200) {
    agent_tally.sync_failures++;
    sync_in(stream, SYNC_AGAIN_MS * (1 + random_part()));
    return;
  }
  agent_tally.syncs++;
  forget_acknowledged(stream, body);
  char *pace = strstr(body, "\"nextSyncMs\":");
  double pace_ms = pace ? atoi(pace + 13) : ORIGINAL_SYNC_MS;
  if (stream->is_original) pace_ms = ORIGINAL_SYNC_MS;
  // Before what the reply brings: that may want another sync at once.
  sync_in(stream, pace_ms * (0.9 + 0.2 * random_part()));
  bool wanted = stream->sync_wanted;
  int outcomes = stream->outcome_count;
  if (strstr(body, "\"controlId\"")) agent_heard_controls(stream, body);
  if (wanted || stream->outcome_count > outcomes) sync_in(stream, 0);
}

static void due(int index) {
  struct stream *stream = &streams[index];
  uint64_t now = now_ns();
  if (stream->dial_ns && stream->dial_ns <= now) {
    stream->dial_ns = 0;
    if (stream->state == CLOSED) stream_start(index);
  }
  if (stream->sync_ns && stream->sync_ns <= now && !stream->is_syncing) send_sync(stream);
}

void agents_run(void) { alarms_run(due); }
