/* Operators: connections that are kept, each with one request at a time. */
#include "load.h"
#include <stdlib.h>
#include <string.h>

#define REPLIES_MAX (1 << 20)
struct call publishers[PUBLISHERS_MAX];
struct publish_tally publish_tally;
uint64_t *reply_ns;
int reply_count;
static int up;

void replies_begin(void) {
  if (!reply_ns) reply_ns = calloc(REPLIES_MAX, sizeof *reply_ns);
  reply_count = 0;
}

static void replied(struct call *call, int status, char *body) {
  if (status >= 200 && status < 300) {
    publish_tally.accepted++;
    if (reply_count < REPLIES_MAX) reply_ns[reply_count++] = call->took_ns;
    // A batch refuses its controls one by one.
    if (body && strstr(body, "\"error\":\"")) publish_tally.refused++;
    return;
  }
  publish_tally.refused++;
  static int told;
  if (told++ < 5) fprintf(stderr, "load: a request is answered %d: %.300s\n", status, body ? body : "nothing");
}

void publishers_up(int count) {
  if (count > PUBLISHERS_MAX) die("at most %d publishers", PUBLISHERS_MAX);
  if (!reply_ns) replies_begin();
  for (; up < count; up++) publishers[up] = (struct call){.wire = {.fd = -1}, .to = options.operator_api, .keep = true};
  for (int index = 0; index < count; index++) publishers[index].done = replied;
}

void publish_to(struct call *call, const char *path, int index, uint64_t sequence, const char *body, int length) {
  char full_path[1024], headers[4096] = "", header[1024];
  expand(full_path, sizeof full_path, path, index, sequence, NULL);
  for (int at = 0, filled = 0; at < HEADERS_MAX && options.publish_headers[at]; at++) {
    expand(header, sizeof header, options.publish_headers[at], index, sequence, NULL);
    filled += snprintf(headers + filled, sizeof headers - filled, "%s\r\n", header);
  }
  call->sequence = sequence;
  call_start(call, "POST", full_path, headers, body, length);
}

void publish(struct call *call, int index, uint64_t sequence, const char *pad) {
  int capacity = 4096 + (pad ? (int)strlen(pad) : 0);
  char *body = malloc(capacity);
  int length = expand(body, capacity, options.publish_body, index, sequence, pad);
  publish_to(call, options.publish_path, index, sequence, body, length);
  free(body);
}
