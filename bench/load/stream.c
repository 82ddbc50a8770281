/* The streams: dialled, their reply's head read, their frames handed on. */
#define _GNU_SOURCE
#include "load.h"
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define READ_BYTES 262144
struct stream *streams;
int stream_count, ready_count;
struct stream_tally stream_tally;

void streams_setup(void) {
  streams = calloc(options.streams_max, sizeof *streams);
  if (!streams) die("no memory for %d streams", options.streams_max);
  for (int index = 0; index < options.streams_max; index++) {
    streams[index].index = index;
    streams[index].wire.fd = -1;
    streams[index].is_original = index >= options.originals_from;
  }
}

/* Listens for what the stream has to hear, and to say. */
void stream_watch(struct stream *stream) {
  uint32_t events = stream->is_paused ? EPOLLRDHUP : EPOLLIN | EPOLLRDHUP;
  if (stream->out_sent < stream->out_length && !stream->wire.ssl) events |= EPOLLOUT;
  loop_change(stream->wire.fd, &stream->source, events);
}

static void closed(struct stream *stream, int status) {
  bool was_ready = stream->state == READY;
  if (was_ready) {
    ready_count--;
    stream_tally.lost++;
  } else stream_tally.failed++;
  stream->state = CLOSED;
  wire_close(&stream->wire);
  if (options.agents) agent_closed(stream, was_ready, status);
}

void stream_close(struct stream *stream) {
  if (stream->state == READY) ready_count--;
  stream->state = CLOSED;
  wire_close(&stream->wire);
}

static void became_ready(struct stream *stream) {
  stream->state = READY;
  ready_count++;
  stream_tally.last_ready_ns = now_ns();
  if (options.agents) agent_opened(stream);
}

/* Reads as much of the head as has come. Returns how many bytes it took. */
static int read_head(struct stream *stream, const char *bytes, int length) {
  static const char end[] = "\r\n\r\n";
  for (int at = 0; at < length; at++) {
    if (stream->head_length < 12) stream->head[stream->head_length++] = bytes[at];
    if (bytes[at] != end[stream->head_matched]) {
      stream->head_matched = bytes[at] == '\r';
      continue;
    }
    if (++stream->head_matched < 4) continue;
    stream->head[12] = 0;
    stream->state = HEAD;
    return at + 1;
  }
  return length;
}

static void receive(struct stream *stream) {
  static char buffer[READ_BYTES];
  int length = wire_read(&stream->wire, buffer, sizeof buffer);
  if (length == WIRE_AGAIN) return;
  if (length == WIRE_CLOSED) {
    closed(stream, 0);
    return;
  }
  stream->bytes += length;
  int at = 0;
  if (stream->state == CONNECTING) {
    at = read_head(stream, buffer, length);
    if (stream->state != HEAD) return;
    int status = atoi(stream->head + 9);
    if (status != 200) {
      const char *after = memmem(buffer, length, "etry-", 5);
      stream->retry_after_s = after && !strncasecmp(after, "etry-after: ", 12) ? atoi(after + 12) : 0;
      static int told;
      if (told++ < 3) fprintf(stderr, "load: stream %d is answered %d\n", stream->index, status);
      closed(stream, status);
      return;
    }
  }
  if (at == length) return;
  if (stream->state == HEAD) became_ready(stream);
  frames_read(stream, buffer + at, length - at);
  // A server may keep the connection for another request; an agent has none.
  if (stream->is_ended) closed(stream, 0);
}

static bool flush(struct stream *stream) {
  while (stream->out_sent < stream->out_length) {
    int sent = wire_write(&stream->wire, stream->out + stream->out_sent, stream->out_length - stream->out_sent);
    if (sent == WIRE_AGAIN) break;
    if (sent == WIRE_CLOSED) return false;
    stream->out_sent += sent;
  }
  if (stream->out_sent == stream->out_length && stream->out) {
    free(stream->out);
    stream->out = NULL;
    stream->out_sent = stream->out_length = 0;
  }
  stream_watch(stream);
  return true;
}

static void ready(struct source *source, uint32_t events) {
  struct stream *stream = (struct stream *)source;
  if (stream->state == CLOSED) return;
  if (stream->is_paused) {
    // Its bytes stay unread; only the end is noticed, and only once.
    if (events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) {
      stream->is_paused = false;
      closed(stream, 0);
    }
    return;
  }
  // Reading comes first: it may be what ends a TLS handshake, and nothing would wake the request behind it.
  if (stream->wire.ssl || events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP)) receive(stream);
  if (stream->state != CLOSED && stream->out_length && !flush(stream)) closed(stream, 0);
}

static void write_request(struct stream *stream) {
  char text[4096], part[1024];
  expand(part, sizeof part, options.path, stream->index, 0, NULL);
  int length = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: %s:%d\r\nAccept: text/event-stream\r\n", part,
                        options.stream.host, options.stream.port);
  for (int index = 0; index < HEADERS_MAX && options.stream_headers[index]; index++) {
    expand(part, sizeof part, options.stream_headers[index], stream->index, 0, NULL);
    length += snprintf(text + length, sizeof text - length, "%s\r\n", part);
  }
  if (options.agents && !stream->is_original)
    length += snprintf(text + length, sizeof text - length,
                       "Downlink-Boot: boot-%d\r\nDownlink-Connect: %d\r\nDownlink-Journal: journal-%d 0\r\n", stream->index,
                       ++stream->requests, stream->index);
  length += snprintf(text + length, sizeof text - length, "\r\n");
  stream->out = strdup(text);
  stream->out_length = length;
  stream->out_sent = 0;
}

void stream_start(int index) {
  struct stream *stream = &streams[index];
  stream->source.ready = ready;
  stream->head_length = stream->head_matched = 0;
  stream->partial_length = 0;
  stream->is_ended = false;
  stream->drain_ms = -1;
  free(stream->out);
  write_request(stream);
  stream->opened_ns = now_ns();
  stream->state = CONNECTING;
  int receive_bytes = index == 0 ? options.slow_receive_bytes : 0;
  if (!wire_open(&stream->wire, &options.stream, index % options.source_addresses, receive_bytes, options.tls)) {
    closed(stream, 0);
    return;
  }
  loop_watch(stream->wire.fd, &stream->source, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
}

int pick_ready(void) {
  for (int tries = 0; tries < 1000000; tries++) {
    int index = random_number() % stream_count;
    struct stream *stream = &streams[index];
    if (stream->state == READY && !stream->is_paused && !stream->is_original && index != slow_reader.index) return index;
  }
  die("no stream is open");
}

uint64_t stream_bytes(void) {
  uint64_t bytes = 0;
  for (int index = 0; index < stream_count; index++) bytes += streams[index].bytes;
  return bytes;
}
