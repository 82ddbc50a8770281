/* What the files of the load generator share. One thread, one epoll, loopback only; README.md says how it is used. */
#ifndef LOAD_H
#define LOAD_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* ── time.c ── */
uint64_t now_ns(void);
/* Of the wall clock, ms, with its fraction. */
double wall_ms(void);
uint64_t random_number(void);
/* In [0, 1). */
double random_part(void);
/* Prints a sentence and ends the process. */
void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
#define SECOND_NS 1000000000ull
#define MS_NS 1000000ull

/* ── options.c ── */
#define HEADERS_MAX 8
struct endpoint {
  char host[64];
  int port;
};
struct options {
  struct endpoint stream;
  struct endpoint operator_api;
  bool tls;
  /* Streams from this number on are those of originals. */
  int originals_from;
  /* The streams behave as agents: they sync, report outcomes and come back. */
  bool agents;
  const char *path, *stream_headers[HEADERS_MAX];
  const char *sync_path, *keys_file;
  const char *publish_path, *publish_body, *publish_headers[HEADERS_MAX];
  const char *broadcast_path, *broadcast_body, *broadcast_match;
  const char *batch_path, *batch_item, *batch_head, *batch_tail;
  int batch_chunk;
  /* What stands before a control's number in what is delivered. */
  const char *match;
  int streams_max, connecting_max, source_addresses, timeout_s, slow_receive_bytes;
  int server_pids[8];
  int server_pid_count;
};
extern struct options options;
void read_options(int count, char **arguments);

/* ── template.c ── */
/* Writes `template` with {i}, {key}, {seq} and {pad} filled in. Returns the length; ends the process if it does not fit. */
int expand(char *target, int capacity, const char *template, int index, uint64_t sequence, const char *pad);
void read_keys(const char *file);
const char *key_of(int index);

/* ── wire.c: a loopback connection, with or without TLS ── */
struct wire {
  int fd;
  void *ssl;
};
#define WIRE_AGAIN (-1)
#define WIRE_CLOSED (-2)
void wire_setup(void);
bool wire_open(struct wire *wire, const struct endpoint *to, int source, int receive_bytes, bool tls);
/* Bytes, WIRE_AGAIN or WIRE_CLOSED. */
int wire_read(struct wire *wire, char *into, int capacity);
int wire_write(struct wire *wire, const char *bytes, int length);
void wire_close(struct wire *wire);

/* ── loop.c ── */
/* The first member of everything that epoll reports on. */
struct source {
  void (*ready)(struct source *source, uint32_t events);
};
void loop_setup(void);
void loop_watch(int fd, struct source *source, uint32_t events);
void loop_change(int fd, struct source *source, uint32_t events);
void poll_once(int timeout_ms);
/* Serves everything for so long. */
void serve_for(double seconds);

/* ── alarms.c: when which agent has something to do ── */
void alarm_set(int index, uint64_t due_ns);
void alarms_run(void (*due)(int index));
uint64_t alarms_next_ns(void);

/* ── call.c: one request and its reply ── */
struct call {
  struct source source;
  struct wire wire;
  struct endpoint to;
  bool keep, busy, open, tls;
  char *out, *in;
  int out_length, out_sent, in_length, in_capacity;
  int owner, status;
  uint64_t sequence, sent_ns, took_ns;
  /* `body` is a string; both are NULL and 0 when there was no reply. */
  void (*done)(struct call *call, int status, char *body);
};
void call_start(struct call *call, const char *method, const char *path, const char *headers, const char *body, int length);

/* ── controls.c: what became of each control, by its number ── */
struct control {
  uint64_t sent_ns, delivered_ns, applied_ns, acknowledged_ns;
  /* Of the control's id: another one for the same number is a second decision. */
  uint64_t id_hash;
  int target;
};
#define CONTROLS_MAX (1u << 22)
extern uint64_t control_next;
struct control *control_of(uint64_t sequence);
uint64_t control_new(int target);
struct tally {
  uint64_t delivered, misrouted, repeated, decided_twice, last_delivered_ns;
};
extern struct tally tally;
/* A control's number came on a stream. */
void control_delivered(int index, uint64_t sequence);
/* An agent decides; returns whether it is the first time. */
bool control_applied(int index, uint64_t sequence, uint64_t id_hash);

/* ── stream.c ── */
enum stream_state { UNUSED, CONNECTING, HEAD, READY, CLOSED };
struct outcome {
  char control_id[192];
  uint64_t epoch, revision;
};
struct stream {
  struct source source;
  struct wire wire;
  int index;
  uint8_t state;
  bool is_paused, is_original, has_heartbeat, is_ended;
  uint8_t head_matched, head_length;
  char head[13];
  char *out, *partial;
  int out_length, out_sent, partial_length;
  uint64_t bytes, broadcast_seen, opened_ns;
  /* Of an agent. */
  uint64_t heartbeat_counter, heartbeat_hub_ms, heartbeat_ns;
  uint64_t dial_ns, sync_ns, spread_until_ns, grace_until_ns;
  int window_ms, drain_ms, failures, requests, retry_after_s;
  bool is_syncing, sync_wanted;
  struct outcome *outcomes;
  int outcome_count, outcomes_sent;
};
extern struct stream *streams;
extern int stream_count, ready_count;
struct stream_tally {
  uint64_t last_ready_ns, failed, lost, drained;
};
extern struct stream_tally stream_tally;
void streams_setup(void);
void stream_start(int index);
void stream_close(struct stream *stream);
void stream_watch(struct stream *stream);
int pick_ready(void);
uint64_t stream_bytes(void);
/* A broadcast is on its way: how many streams had it, and when the last. */
struct broadcast {
  uint64_t sequence, last_ns;
  int count;
};
extern struct broadcast broadcast;
/* The heartbeat that is counted: which, since when by the hub's clock, how many streams had it, when the last. */
struct beat {
  uint64_t counter, hub_ms;
  int count;
  double last_wall_ms;
};
#define BEATS_MAX 256
extern struct beat beats[BEATS_MAX];
extern int beat_count;
/* The stream that stopped reading, and which of the controls meant for it came all the same. */
struct slow_reader {
  int index;
  uint64_t first, count, received;
  uint8_t *seen;
};
extern struct slow_reader slow_reader;

/* ── frames.c ── */
void frames_read(struct stream *stream, char *bytes, int length);

/* ── agent.c ── */
void agents_setup(void);
void agent_opened(struct stream *stream);
/* `status` is that of a refusal, 0 without a reply. */
void agent_closed(struct stream *stream, bool was_ready, int status);
void agent_heard_controls(struct stream *stream, char *text);
void agent_heard_sync(struct stream *stream);
void agents_run(void);
struct agent_tally {
  uint64_t syncs, sync_failures, outcomes_open;
};
extern struct agent_tally agent_tally;
/* When which agent's stream was open again; since `arrivals_begin`. */
struct arrival {
  uint64_t at_ns;
  int index;
};
extern struct arrival *arrivals;
extern int arrival_count;
extern uint64_t first_loss_ns;
extern double first_loss_wall_ms;
void arrivals_begin(void);

/* ── publisher.c: what operators send ── */
#define PUBLISHERS_MAX 256
extern struct call publishers[PUBLISHERS_MAX];
struct publish_tally {
  uint64_t accepted, refused;
};
extern struct publish_tally publish_tally;
void publishers_up(int count);
void publish(struct call *call, int index, uint64_t sequence, const char *pad);
void publish_to(struct call *call, const char *path, int index, uint64_t sequence, const char *body, int length);
/* Of replies since `replies_begin`, ns. */
extern uint64_t *reply_ns;
extern int reply_count;
void replies_begin(void);

/* ── process.c ── */
double server_kib(const char *file, const char *field);
double server_cpu_s(void);
int server_fds(void);
double own_cpu_s(void);

/* ── report.c ── */
/* Begins a step: its CPU is counted from here. */
void report_begin(void);
/* Prints the step's line: members in `format`, behind those that every line has. */
void report(const char *step, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sort_numbers(uint64_t *numbers, int count);
/* Of sorted ns, in µs. */
double percentile_us(const uint64_t *sorted, int count, double part);

/* ── steps ── */
void step_connect(int streams);
void step_keep(int streams);
void step_memory(void);
void step_settle(int seconds);
void step_latency(int count, int gap_us);
void step_throughput(int count, int publisher_count);
void step_batch(int count, int rounds);
void step_broadcast(int rounds, int gap_ms);
void step_heartbeats(int seconds);
void step_slow(int megabytes, int bytes);
void step_hold(int seconds, int per_s);
void step_outage(int seconds, int per_s);
#endif
