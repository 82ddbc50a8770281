/* What comes on a stream, line by line. The sizes of HTTP chunks are lines, too; only that of the last, 0, means something here. */
#define _GNU_SOURCE
#include "load.h"
#include <stdlib.h>
#include <string.h>

/* Of a line that is put together from several reads. */
#define LINE_BYTES_MAX 400000
struct broadcast broadcast;
struct slow_reader slow_reader = {.index = -1};
struct beat beats[BEATS_MAX];
int beat_count;

static void heard_broadcast(struct stream *stream, const char *line, int length) {
  const char *at = memmem(line, length, options.broadcast_match, strlen(options.broadcast_match));
  if (!at || strtoull(at + strlen(options.broadcast_match), NULL, 10) != broadcast.sequence) return;
  if (stream->broadcast_seen == broadcast.sequence) return;
  stream->broadcast_seen = broadcast.sequence;
  broadcast.count++;
  broadcast.last_ns = now_ns();
}

static void heard_number(struct stream *stream, uint64_t sequence) {
  if (broadcast.sequence && sequence == broadcast.sequence) return;
  if (stream->index == slow_reader.index && sequence >= slow_reader.first &&
      sequence < slow_reader.first + slow_reader.count) {
    uint8_t *seen = &slow_reader.seen[sequence - slow_reader.first];
    slow_reader.received += !*seen;
    *seen = 1;
    return;
  }
  control_delivered(stream->index, sequence);
}

static void read_data(struct stream *stream, char *line, int length) {
  if (broadcast.sequence) heard_broadcast(stream, line, length);
  int match_length = strlen(options.match);
  for (char *at = line; (at = memmem(at, line + length - at, options.match, match_length)) != NULL;) {
    at += match_length;
    heard_number(stream, strtoull(at, &at, 10));
  }
  if (!options.agents) return;
  char *after = memmem(line, length, "\"reconnectAfterMs\":", 19);
  if (after) stream->drain_ms = atoi(after + 19);
  if (memmem(line, length, "\"controlId\"", 11)) agent_heard_controls(stream, line);
  else if (!after) agent_heard_sync(stream);
}

static void count_beat(uint64_t counter, uint64_t hub_ms) {
  struct beat *beat = NULL;
  for (int index = beat_count - 1; index >= 0 && !beat; index--)
    if (beats[index].counter == counter) beat = &beats[index];
  if (!beat) {
    if (beat_count == BEATS_MAX) return;
    beat = &beats[beat_count++];
    *beat = (struct beat){.counter = counter, .hub_ms = hub_ms};
  }
  beat->count++;
  beat->last_wall_ms = wall_ms();
}

/* `: hb n=COUNTER t=HUB_MS w=MS`, or `: window w=MS`. */
static void read_comment(struct stream *stream, char *line) {
  char *window = strstr(line, " w=");
  if (window) stream->window_ms = atoi(window + 3);
  char *counter = strstr(line, "hb n=");
  if (!counter) return;
  char *hub_ms = strstr(counter, " t=");
  if (!hub_ms) return;
  stream->has_heartbeat = true;
  stream->heartbeat_counter = strtoull(counter + 5, NULL, 10);
  stream->heartbeat_hub_ms = strtoull(hub_ms + 3, NULL, 10);
  stream->heartbeat_ns = now_ns();
  count_beat(stream->heartbeat_counter, stream->heartbeat_hub_ms);
}

/* `line` ends in 0 where its newline was. */
static void read_line(struct stream *stream, char *line, int length) {
  if (length == 0) return;
  if (line[0] == ':') read_comment(stream, line);
  else if (strcmp(line, "0\r") == 0) stream->is_ended = true;
  else if (line[0] == 'd' && strncmp(line, "data:", 5) == 0) read_data(stream, line, length);
}

static void keep_partial(struct stream *stream, const char *bytes, int length) {
  if (stream->partial_length + length > LINE_BYTES_MAX) die("a line has more than %d bytes", LINE_BYTES_MAX);
  stream->partial = realloc(stream->partial, stream->partial_length + length + 1);
  memcpy(stream->partial + stream->partial_length, bytes, length);
  stream->partial_length += length;
}

void frames_read(struct stream *stream, char *bytes, int length) {
  char *end = bytes + length;
  for (char *newline; bytes < end; bytes = newline + 1) {
    newline = memchr(bytes, '\n', end - bytes);
    if (!newline) {
      keep_partial(stream, bytes, end - bytes);
      return;
    }
    *newline = 0;
    if (stream->partial_length == 0) {
      read_line(stream, bytes, newline - bytes);
      continue;
    }
    keep_partial(stream, bytes, newline - bytes + 1);
    read_line(stream, stream->partial, stream->partial_length - 1);
    free(stream->partial);
    stream->partial = NULL;
    stream->partial_length = 0;
  }
}
